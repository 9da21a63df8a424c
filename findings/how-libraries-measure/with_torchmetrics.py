"""torchmetrics: scores, truth and the number of the query, row by row."""

import torch
from cells import NOT, kept, number, tell
from torchmetrics.retrieval import RetrievalNormalizedDCG, RetrievalPrecision, RetrievalRecall


def measured(metric, rows):
    """Rows of query, score and whether it is right."""
    queries, scores, right = (torch.tensor(column) for column in zip(*rows, strict=True))
    return float(metric(scores.float(), right.bool(), indexes=queries))


def down(right, n):
    """A query whose scores fall, above 0: what is not counts as not found."""
    return [(0, float(n - place), place in right) for place in range(n)]


def winners(metric, n):
    """Which of n items of one score counts as first."""
    rows = [[(0, 1.0, place == right) for place in range(n)] for right in range(n)]
    return [right for right in range(n) if measured(metric, rows[right]) == 1]


below = measured(RetrievalRecall(top_k=3), [(0, -1.0, True), (0, -2.0, False)])
if below:
    raise SystemExit(f"an item whose score is below 0 is found: {below}")
averaged = winners(RetrievalNormalizedDCG(top_k=1), 12) == []
places = winners(RetrievalRecall(top_k=1), 17) + winners(RetrievalPrecision(top_k=1), 17)
odd = all(0 < place < 16 for place in places)
both = [(0, 1.0, True), (1, 1.0, False)]
skipped = measured(RetrievalRecall(top_k=3, empty_target_action="skip"), both)
tell(
    ndcg=number(measured(RetrievalNormalizedDCG(top_k=10), down({1}, 10))),
    recall=number(measured(RetrievalRecall(top_k=3), down({0, 1, 3, 4, 5}, 6))),
    precision=number(measured(RetrievalPrecision(top_k=10), down({0, 1}, 3))),
    ties=f"NDCG: {'averaged' if averaged else 'not averaged'}; "
    + ("others: neither first nor last" if odd else str(places)),
    no_list=NOT,
    no_truth=f"{kept(measured(RetrievalRecall(top_k=3), both))} (skip: {kept(skipped)})",
)
