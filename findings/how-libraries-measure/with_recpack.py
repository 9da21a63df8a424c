"""recpack: sparse matrices of users and items."""

from cells import kept, number, tell
from recpack.metrics import NDCGK, PrecisionK, RecallK
from scipy.sparse import csr_matrix


def measured(metric, right, predicted):
    """Of matrices of users and items."""
    metric.calculate(csr_matrix(right), csr_matrix(predicted))
    return metric.value


def row(*columns, n=12):
    """A user with these items."""
    return [1.0 if column in columns else 0.0 for column in range(n)]


ten = [10.0 - place if place < 10 else 0.0 for place in range(12)]
three = [3.0, 2.0, 1.0] + [0.0] * 9
level = (2, 5, 9)
first = [i for i in level if measured(RecallK(1), [row(i)], [row(*level)]) == 1]
zero = measured(RecallK(10), [row(4)], [row(3)])
tell(
    ndcg=number(measured(NDCGK(10), [row(1)], [ten])),
    recall=number(measured(RecallK(3), [row(0, 1, 5, 6, 7)], [three])),
    precision=number(measured(PrecisionK(10), [row(0, 1, 5, 6, 7)], [three])),
    ties={9: "last column first", 2: "first column first"}[first[0]]
    + {0.0: "; score 0 = not listed"}.get(zero, ""),
    no_list=kept(measured(RecallK(3), [row(1), row(1)], [row(1), row()])),
    no_truth=kept(measured(RecallK(3), [row(1), row()], [row(1), row(1)])),
)
