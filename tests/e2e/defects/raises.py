"""A model that cannot predict what it is given."""


class Model:
    """Fails on the first row."""

    def predict(self, rows, params=None):
        """Raise."""
        raise ValueError("the column 'season' is needed, and is not there")


def _load_pyfunc(path):
    return Model()
