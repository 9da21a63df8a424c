"""scikit-learn: scores and truth as matrices of users and items; of the three, NDCG alone."""

import numpy as np
from cells import NOT, kept, number, tell
from sklearn.metrics import ndcg_score


def measured(right, scores, k=10):
    return ndcg_score(np.array(right), np.array(scores), k=k)


def tied():
    """Two items with one score, either of which is the right one."""
    hits = [measured([right], [[1.0, 1.0]], 1) for right in ([1, 0], [0, 1])]
    return {(0.5, 0.5): "averaged"}[tuple(hits)]


tell(
    ndcg=number(measured([[0, 1, *[0] * 8]], [[float(-place) for place in range(10)]])),
    recall=NOT,
    precision=NOT,
    ties=tied(),
    no_list=NOT,
    no_truth=kept(measured([[1, 0], [0, 0]], [[2.0, 1.0], [2.0, 1.0]])),
)
