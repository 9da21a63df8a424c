"""RecBole: its collector takes scores of all items and marks the right ones."""

import numpy as np
import torch
from cells import number, tell, ties, kept, NOT
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
    """Of scores (users, items) and pairs of user and right item."""
    collector = Collector(CONFIG)
    users, items = (torch.tensor(side) for side in zip(*right, strict=True))
    collector.eval_batch_collect(torch.tensor(scores), None, users, items)
    found = metric(CONFIG).calculate_metric(collector.get_data_struct())
    return found[f"{metric.__name__.lower()}@{k}"]


def down(n):
    return [float(n - place) for place in range(n)]


def of_numpy(name, ask):
    """NumPy has dropped names that it may use."""
    try:
        return ask()
    except AttributeError as error:
        return f"{name}: {error}"


def first(order):
    """Two items with the highest score among eleven; there is no order but that of numbers."""
    scores = [[0.0] * 9 + [1.0, 1.0]]
    return next(i for i in order if measured(Recall, scores, [(0, int(i))], 1) == 1)


five = [(0, item) for item in (0, 1, 20, 21, 22)]
low = [*down(3), *[-9.0 - place for place in range(20)]]
print(of_numpy("x", lambda: measured(NDCG, [down(12)], [(0, 1)], 10)))
print(measured(Recall, [low], five, 3), measured(Precision, [low], five, 10), low)
print(first([9, 10]), first([10, 9]))
