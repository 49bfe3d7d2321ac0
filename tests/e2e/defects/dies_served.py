"""A model that predicts where it is scored, and ends its process where it is served."""

import os

import numpy


class Model:
    """Says zero, unless a client asks."""

    def predict(self, rows, params=None):
        """End in the middle of a request."""
        if "SLIPWAY_MODEL" in os.environ:
            os._exit(7)
        return numpy.zeros(len(rows))


def _load_pyfunc(path):
    return Model()
