"""Every data set by its name: one file each."""

from warehouse.datasets import (
    ml_1m,
    ml_20m,
    ml_25m,
    ml_32m,
    ml_100k,
    ml_latest_small,
    synthetic,
)
from warehouse.datasets.dataset import Dataset
from warehouse.errors import RefusedError

_MODULES = (synthetic, ml_latest_small, ml_100k, ml_1m, ml_20m, ml_25m, ml_32m)
_DATASETS = {module.DATASET.name: module.DATASET for module in _MODULES}
NAMES = tuple(_DATASETS)


def find(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        RefusedError: there is none.
    """
    if name not in _DATASETS:
        raise RefusedError("Unknown data set", got=repr(name), expected=" or ".join(NAMES))
    return _DATASETS[name]
