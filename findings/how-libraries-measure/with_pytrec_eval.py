"""pytrec_eval: trec_eval's measures, user by user."""

from statistics import mean

import pytrec_eval
from cells import FIVE, SECOND, TEN, THREE, kept, number, tell, ties


def judged(items):
    """Names as they are, or with their relevance."""
    return items if isinstance(items, dict) else dict.fromkeys(items, 1)


def without_truth():
    lists = {"u": ["1"], "v": ["1"]}
    none_right, none = (
        kept(measured("recall.3", lists, {"u": ["1"], "v": items})) for items in ({"1": 0}, {})
    )
    return none_right if none_right == none else f"{none_right} (without judgements: {none})"


def measured(measure, lists, truth):
    run = {
        user: {item: float(-place) for place, item in enumerate(items)}
        for user, items in lists.items()
    }
    return asked(measure, run, truth)


def asked(measure, run, truth):
    qrels = {user: judged(items) for user, items in truth.items()}
    found = pytrec_eval.RelevanceEvaluator(qrels, {measure}).evaluate(run)
    return mean(row[measure.replace(".", "_")] for row in found.values())


def hit(order, item):
    """Precision at 1 of one right item among equal scores."""
    return asked("P.1", {"u": dict.fromkeys(order, 1.0)}, {"u": [item]})


tell(
    ndcg=number(measured("ndcg_cut.10", {"u": TEN}, {"u": [SECOND]})),
    recall=number(measured("recall.3", {"u": THREE}, {"u": FIVE})),
    precision=number(measured("P.10", {"u": THREE}, {"u": FIVE})),
    ties=ties(hit),
    no_list=kept(measured("recall.3", {"u": ["1"]}, {"u": ["1"], "v": ["1"]})),
    no_truth=without_truth(),
)
