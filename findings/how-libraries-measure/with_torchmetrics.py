"""torchmetrics: scores, truth and the number of the query, row by row."""

import torch
from cells import NOT, kept, number, tell
from torchmetrics.retrieval import RetrievalNormalizedDCG, RetrievalPrecision, RetrievalRecall


def measured(metric, rows):
    """Rows of query, score and whether it is right."""
    queries, scores, right = (torch.tensor(column) for column in zip(*rows, strict=True))
    return float(metric(scores.float(), right.bool(), indexes=queries))


def down(right, n):
    return [(0, float(-place), place in right) for place in range(n)]


def first(metric):
    """Whose hit counts whole among two of the same score."""
    hits = []
    for right in (0, 1):
        hits.append(measured(metric, [(0, 1.0, place == right) for place in (0, 1)]))
    return {(1.0, 0.0): "first", (0.0, 1.0): "last"}.get(tuple(hits), "averaged")


print(first(RetrievalNormalizedDCG(top_k=1)), first(RetrievalRecall(top_k=1)))
both = [(0, 1.0, True), (1, 1.0, False)]
tell(
    ndcg=number(measured(RetrievalNormalizedDCG(top_k=10), down({1}, 10))),
    recall=number(measured(RetrievalRecall(top_k=3), down({0, 1, 3, 4, 5}, 6))),
    precision=number(measured(RetrievalPrecision(top_k=10), down({0, 1}, 3))),
    ties="x",
    no_list=NOT,
    no_truth=kept(measured(RetrievalRecall(top_k=3), both))
    + f" (skip: {kept(measured(RetrievalRecall(top_k=3, empty_target_action='skip'), both))})",
)
