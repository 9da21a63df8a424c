"""MovieLens 1M (2003), the data set of the paper."""

from warehouse.datasets.dataset import Counts, Dataset, Scale
from warehouse.datasets.layouts import DOUBLE_COLON

DATASET = Dataset(
    name="ml-1m",
    title="MovieLens 1M",
    url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    size=5_917_549,
    md5="c4d9eecfca2ab87c1945afe126590906",
    sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
    counts=Counts(ratings=1_000_209, users=6_040, items=3_706),
    scale=Scale(1.0, 5.0, 1.0),
    layout=DOUBLE_COLON,
)
