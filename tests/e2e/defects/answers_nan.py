"""A model whose predictions are no numbers."""

import numpy


class Model:
    """Says nan."""

    def predict(self, rows, params=None):
        """One nan a row."""
        return numpy.full(len(rows), numpy.nan)


def _load_pyfunc(path):
    return Model()
