"""A model that ends its process with success before anything was predicted."""

import os


class Model:
    """Leaves."""

    def predict(self, rows, params=None):
        """End as if all were well."""
        os._exit(0)


def _load_pyfunc(path):
    return Model()
