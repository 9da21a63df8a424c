"""RecTools: interactions and recommendations are frames, the column Rank is the list."""

from cells import FIVE, SECOND, TEN, THREE, kept, number, tell, ties
from pandas import DataFrame
from rectools.metrics import NDCG, Precision, Recall


def frames(lists, truth):
    listed = [(u, int(i), r) for u, items in lists.items() for r, i in enumerate(items, 1)]
    right = [(u, int(i)) for u, items in truth.items() for i in items]
    return {
        "reco": DataFrame(listed, columns=["user_id", "item_id", "rank"]),
        "interactions": DataFrame(right, columns=["user_id", "item_id"]),
    }


def hit(order, item):
    """Recall at 1 of one right item."""
    return Recall(k=1).calc(**frames({1: order}, {1: [item]}))


ten, three = frames({1: TEN}, {1: [SECOND]}), frames({1: THREE}, {1: FIVE})
achievable = NDCG(k=10, divide_by_achievable=True).calc(**ten)
tell(
    ndcg=f"{number(NDCG(k=10).calc(**ten))} ({number(achievable)} with divide_by_achievable)",
    recall=number(Recall(k=3).calc(**three)),
    precision=number(Precision(k=10).calc(**three)),
    ties={"order of the list": "column Rank decides"}[ties(hit)],
    no_list=kept(Recall(k=3).calc(**frames({1: ["1"]}, {1: ["1"], 2: ["1"]}))),
    no_truth=kept(Recall(k=3).calc(**frames({1: ["1"], 2: ["1"]}, {1: ["1"]}))),
)
