"""cornac: right items and a ranked array; over users, a model that scores all items."""

import numpy as np
from cells import FIVE, SECOND, TEN, THREE, kept, number, tell, ties
from cornac.data import Dataset
from cornac.eval_methods.base_method import ranking_eval
from cornac.metrics import NDCG, Precision, Recall
from cornac.models import Recommender


class Fixed(Recommender):
    """The first item is the best for everybody."""

    def score(self, user_idx, item_idx=None):
        """Scores of all items."""
        return np.array([2.0, 1.0, 0.0])


def measured(metric, ranked, right):
    """Of one list."""
    right, ranked = (np.array([int(i) for i in items]) for items in (right, ranked))
    return metric.compute(gt_pos=right, pd_rank=ranked)


def hit(order, item):
    """Recall at 1 of one right item: a ranked array has no scores."""
    return measured(Recall(k=1), order, [item])


def of_users():
    """Mean recall of a user with the first item, and one whose rating is below the threshold."""
    rows = [(user, item, 1.0) for user in ("u", "v", "w") for item in ("a", "b", "c")]
    known = Dataset.from_uir(rows)
    test = Dataset.build(
        [("u", "a", 1.0), ("v", "a", 0.5)],
        global_uid_map=known.uid_map,
        global_iid_map=known.iid_map,
    )
    train = Dataset.build(
        [("w", item, 1.0) for item in ("a", "b", "c")],
        global_uid_map=known.uid_map,
        global_iid_map=known.iid_map,
    )
    model = Fixed("fixed").fit(train)
    (mean,), _ = ranking_eval(model, [Recall(k=1)], train, test)
    return kept(mean)


tell(
    ndcg=number(measured(NDCG(k=10), TEN, [SECOND])),
    recall=number(measured(Recall(k=3), THREE, FIVE)),
    precision=number(measured(Precision(k=10), THREE, FIVE)),
    ties=ties(hit),
    no_list="every user is ranked",
    no_truth=of_users(),
)
