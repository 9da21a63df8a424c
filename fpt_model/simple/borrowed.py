"""Models that the optional package `implicit` fits; where it is missing, they are refused."""

from importlib import import_module
from typing import Any

import numpy as np

from fpt_model.errors import ModelError
from fpt_model.simple.past import Past
from fpt_model.simple.settings import SIMPLE, missing_package

PACKAGE = "implicit"


def factorised(past: Past, model: str, module: str, name: str, **settings: Any) -> Any:
    """A model of the package, fitted to who had what; the same each time.

    Args:
        past: what it is fitted to.
        model: our slug of it.
        module, name: of its class.
        settings: the class's own.

    Raises:
        ModelError: the package is not installed.
    """
    if package := missing_package(model):
        raise ModelError(
            f"{SIMPLE[model].display_name} needs a package that is not installed",
            expected=package,
            to_do=f"Install it: `pip install {package}`; or fit the model where it is",
        )
    kind = getattr(import_module(f"{PACKAGE}.{module}"), name)
    # threads that write into each other's vectors would make no run like another
    fitted = kind(random_state=0, num_threads=1, **settings)
    fitted.fit(matrix_of(past), show_progress=False)
    return fitted


def matrix_of(past: Past) -> Any:
    """Who had what, (N, I + 1) as SciPy's CSR matrix of ones; column 0 is empty."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(past.items), np.float32)
    shape = (len(past.starts) - 1, past.n_items + 1)
    found = csr_matrix((ones, (past.owners, past.items)), shape=shape)
    found.data[:] = 1  # an item that comes twice was summed
    return found
