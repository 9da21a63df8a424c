"""RecBole: its collector takes the scores of all items and marks the right ones."""

import math

import torch
from cells import number, tell
from recbole.evaluator.collector import Collector
from recbole.evaluator.metrics import NDCG, Precision, Recall

CONFIG = {
    "topk": [1, 3, 10],
    "metric_decimal_place": 8,
    "device": "cpu",
    "eval_args": {"mode": "full", "order": "RO", "split": {"RS": [8, 1, 1]}},
    "metrics": ["NDCG", "Recall", "Precision"],
}


def measured(metric, scores, right, k):
    """Of scores (users, items), and pairs of a user and a right item."""
    collector = Collector(CONFIG)
    users, items = (torch.tensor(side) for side in zip(*right, strict=True))
    collector.eval_batch_collect(torch.tensor(scores), None, users, items)
    found = metric(CONFIG).calculate_metric(collector.get_data_struct())
    return found[f"{metric.__name__.lower()}@{k}"]


def winner(n):
    """Which of n items of one score stands first."""
    hits = [measured(Recall, [[1.0] * n], [(0, item)], 1) for item in range(n)]
    return hits.index(1)


five = [(0, item) for item in (0, 1, 20, 21, 22)]
falling = [[float(-place) for place in range(23)]]
winners = [winner(n) for n in (12, 64)]
neither = all(0 < place < n - 1 for place, n in zip(winners[:1], (12,), strict=True))
without = measured(Recall, [[1.0, *[0.0] * 11]] * 2, [(0, 0)], 3)
tell(
    ndcg=number(measured(NDCG, falling, [(0, 1)], 10)),
    recall=number(measured(Recall, falling, five, 3)),
    # ten are always listed: two hits of ten
    precision=number(measured(Precision, falling, five, 10)),
    ties="torch.topk: neither first nor last" if neither else str(winners),
    no_list="every user is ranked",
    no_truth="NaN" if math.isnan(without) else number(without),
)
