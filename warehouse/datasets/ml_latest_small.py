"""MovieLens latest-small: changes over time, so its checksum is fetched from beside it."""

from warehouse.datasets.dataset import Dataset
from warehouse.datasets.layouts import CSV

DATASET = Dataset(
    name="ml-latest-small",
    title="MovieLens latest (small)",
    url="https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
    layout=CSV,
)
