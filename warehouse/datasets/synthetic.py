"""Our own world in ML-1M's layout: made from a seed, so it needs no network and no file."""

from warehouse.datasets.dataset import Dataset, Scale
from warehouse.datasets.layouts import DOUBLE_COLON

DATASET = Dataset(
    name="synthetic",
    title="Synthetic world",
    url=None,
    scale=Scale(1.0, 5.0, 1.0),
    layout=DOUBLE_COLON,
)
