"""MovieLens 32M (2023)."""

from warehouse.datasets.dataset import Counts, Dataset
from warehouse.datasets.layouts import CSV

DATASET = Dataset(
    name="ml-32m",
    title="MovieLens 32M",
    url="https://files.grouplens.org/datasets/movielens/ml-32m.zip",
    md5="d472be332d4daa821edc399621853b57",
    counts=Counts(ratings=32_000_204, users=200_948, items=84_432),
    layout=CSV,
)
