"""MovieLens latest-small: changes over time, so its checksum is fetched from beside it."""

from warehouse.datasets.dataset import Dataset, Scale
from warehouse.datasets.layouts import CSV

DATASET = Dataset(
    name="ml-latest-small",
    title="MovieLens latest (small)",
    url="https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
    size=None,
    md5=None,
    sha256=None,
    counts=None,
    scale=Scale(0.5, 5.0, 0.5),
    layout=CSV,
)
