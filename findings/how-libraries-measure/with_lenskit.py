"""LensKit: item lists that are ordered, and a run analysis over users."""

from cells import FIVE, SECOND, TEN, THREE, kept, number, tell, ties
from lenskit.data import ItemList, ItemListCollection
from lenskit.metrics import NDCG, Precision, Recall, RunAnalysis


def lists(by_user):
    return ItemListCollection.from_dict(
        {user: ItemList(items, ordered=True) for user, items in by_user.items()}, "user_id"
    )


def one(metric, items, right):
    return metric.measure_list(ItemList(items, ordered=True), ItemList(right))


def mean(by_user, truth):
    found = RunAnalysis(Recall(3)).measure(lists(by_user), lists(truth))
    return found.list_summary().loc["Recall@3", "mean"]


def hit(order, item):
    """Recall at 1 of one right item among equal scores."""
    scored = ItemList(order, scores=[1.0] * len(order), ordered=True)
    return Recall(1).measure_list(scored, ItemList([item]))


tell(
    ndcg=number(one(NDCG(10), TEN, [SECOND])),
    recall=number(one(Recall(3), THREE, FIVE)),
    precision=number(one(Precision(10), THREE, FIVE)),
    ties=ties(hit),
    no_list=kept(mean({1: ["1"]}, {1: ["1"], 2: ["1"]}))
    + f" (an empty list: {kept(mean({1: ['1'], 2: []}, {1: ['1'], 2: ['1']}))})",
    no_truth=kept(mean({1: ["1"], 2: ["1"]}, {1: ["1"]})),
)
