"""A model that needs a variable: it predicts how long the key is that it was given."""

import os


class Model:
    """Fails where the key is not set."""

    def predict(self, rows, params=None):
        """The same for each row."""
        return [float(len(os.environ["FLIGHTS_API_KEY"]))] * len(rows)


def _load_pyfunc(path):
    return Model()
