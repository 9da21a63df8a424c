"""MovieLens 100K (1998)."""

from warehouse.datasets.dataset import Counts, Dataset, Scale
from warehouse.datasets.layouts import TABS

DATASET = Dataset(
    name="ml-100k",
    title="MovieLens 100K",
    url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    size=4_924_029,
    md5="0e33842e24a9c977be4e0107933c0723",
    counts=Counts(ratings=100_000, users=943, items=1_682),
    scale=Scale(1.0, 5.0, 1.0),
    layout=TABS,
)
