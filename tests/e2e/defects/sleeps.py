"""A model that takes longer than anybody waits."""

import time


class Model:
    """Sleeps."""

    def predict(self, rows, params=None):
        """Half an hour."""
        time.sleep(1800)


def _load_pyfunc(path):
    return Model()
