"""implicit: it asks a model for the best items, and has no recall; this model has fixed lists."""

import numpy as np
from cells import NOT, number, tell
from implicit.evaluation import ranking_metrics_at_k
from scipy.sparse import csr_matrix


class Fixed:
    """A model that answers with given lists; -1 is what a model leaves free."""

    def __init__(self, lists):
        self.lists = np.array(lists, dtype=np.int32)

    def recommend(self, users, user_items, N=10, **_):
        """The first N of each user, as implicit's own models answer."""
        ids = self.lists[users][:, :N]
        return ids, np.zeros(ids.shape, np.float32)


def measured(lists, right, k, n=30):
    """Its metrics at k."""
    truth = np.zeros((len(lists), n))
    for user, items in enumerate(right):
        truth[user, items] = 1
    seen = csr_matrix(truth.shape)
    model = Fixed(lists)
    return ranking_metrics_at_k(model, seen, csr_matrix(truth), K=k, show_progress=False)


def mean(of_second, key="ndcg"):
    """Of two users, the first of whom has the right item first."""
    return measured([list(range(10))] * 2, [[0], of_second], 10)[key]


ten = list(range(10))
# k = 10, ten listed, two hits of five held out: two of min(10, 5); then pooled over two users
two_hits = measured([ten], [[0, 1, 20, 21, 22]], 10)["precision"]
pooled = measured([ten, ten], [[0, 1, 20, 21, 22], [0]], 10)["precision"]
if round(pooled, 9) != round(3 / 6, 9):
    raise SystemExit(f"not pooled over users: {pooled}")
tell(
    ndcg=number(measured([ten], [[1]], 10)["ndcg"]),
    recall=NOT,
    precision=f"{number(two_hits)} (hits / min(k, held out), pooled over users)",
    ties="order of the model",
    no_list=NOT,
    no_truth={1.0: "left out", 0.5: "0"}[round(mean([]), 9)],
)
