"""MovieLens 20M (2015, archive of 2016)."""

from warehouse.datasets.dataset import Counts, Dataset
from warehouse.datasets.layouts import CSV

DATASET = Dataset(
    name="ml-20m",
    title="MovieLens 20M",
    url="https://files.grouplens.org/datasets/movielens/ml-20m.zip",
    size=198_702_078,
    md5="cd245b17a1ae2cc31bb14903e1204af3",
    counts=Counts(ratings=20_000_263, users=138_493, items=26_744),
    layout=CSV,
)
