"""MovieLens 25M (2019)."""

from warehouse.datasets.dataset import Counts, Dataset
from warehouse.datasets.layouts import CSV

DATASET = Dataset(
    name="ml-25m",
    title="MovieLens 25M",
    url="https://files.grouplens.org/datasets/movielens/ml-25m.zip",
    md5="6b51fb2759a8657d3bfcbfc42b592ada",
    counts=Counts(ratings=25_000_095, users=162_541, items=59_047),
    layout=CSV,
)
