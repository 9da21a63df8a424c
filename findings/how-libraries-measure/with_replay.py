"""RePlay: dictionaries of lists, or frames with ratings, which it sorts itself."""

from cells import FIVE, SECOND, TEN, THREE, kept, number, tell, ties
from pandas import DataFrame
from replay.metrics import NDCG, Precision, Recall


def value(metric, lists, truth):
    return next(iter(metric(lists, truth).values()))


def hit(order, item):
    """Recall at 1 of one right item among equal ratings."""
    listed = DataFrame({"query_id": 1, "item_id": [int(i) for i in order], "rating": 1.0})
    return value(Recall(1), listed, DataFrame({"query_id": [1], "item_id": [int(item)]}))


right = [("1", 1.0)]
tell(
    ndcg=number(value(NDCG(10), {1: [(i, -float(i)) for i in TEN]}, {1: [SECOND]})),
    recall=number(value(Recall(3), {1: [(i, -float(i)) for i in THREE]}, {1: FIVE})),
    precision=number(value(Precision(10), {1: [(i, -float(i)) for i in THREE]}, {1: FIVE})),
    ties=ties(hit),
    no_list=kept(value(Recall(3), {1: right}, {1: ["1"], 2: ["1"]})),
    no_truth=kept(value(Recall(3), {1: right, 2: right}, {1: ["1"]})),
)
