"""cornac: right items and a ranked array."""

import numpy as np
from cells import FIVE, SECOND, TEN, THREE, number, tell, ties
from cornac.metrics import NDCG, Precision, Recall


def measured(metric, ranked, right):
    return metric.compute(
        gt_pos=np.array([int(i) for i in right]), pd_rank=np.array([int(i) for i in ranked])
    )


def first(order):
    return next(i for i in order if measured(Recall(k=1), order, [i]) == 1)


tell(
    ndcg=number(measured(NDCG(k=10), TEN, [SECOND])),
    recall=number(measured(Recall(k=3), THREE, FIVE)),
    precision=number(measured(Precision(k=10), THREE, FIVE)),
    ties=ties(first),
    no_list=NOT,
    no_truth=NOT,
)
