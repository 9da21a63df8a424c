"""ranx: qrels and a run, dictionaries of names."""

from cells import FIVE, SECOND, TEN, THREE, kept, number, tell, ties
from ranx import Qrels, Run, evaluate


def judged(items):
    """Names as they are, or with their relevance."""
    return items if isinstance(items, dict) else dict.fromkeys(items, 1)


def without_truth():
    lists = {"u": ["1"], "v": ["1"]}
    none_right, none = (
        kept(measured("recall@3", lists, {"u": ["1"], "v": items})) for items in ({"1": 0}, {})
    )
    return none_right if none_right == none else f"{none_right} (without judgements: {none})"


def measured(metric, lists, truth, **options):
    run = {
        user: {item: float(-place) for place, item in enumerate(items)}
        for user, items in lists.items()
    }
    return asked(metric, run, truth, **options)


def asked(metric, run, truth, **options):
    qrels = Qrels({user: judged(items) for user, items in truth.items()})
    return float(evaluate(qrels, Run(run), metric, **options))


def hit(order, item):
    """Recall at 1 of one right item among equal scores."""
    return asked("recall@1", {"u": dict.fromkeys(order, 1.0)}, {"u": [item]})


def without_list():
    lists, truth = {"u": ["1"]}, {"u": ["1"], "v": ["1"]}
    comparable = kept(measured("recall@3", lists, truth, make_comparable=True))
    try:
        return kept(measured("recall@3", lists, truth))
    except Exception:
        return f"error; {comparable} with make_comparable"


tell(
    ndcg=number(measured("ndcg@10", {"u": TEN}, {"u": [SECOND]})),
    recall=number(measured("recall@3", {"u": THREE}, {"u": FIVE})),
    precision=number(measured("precision@10", {"u": THREE}, {"u": FIVE})),
    ties=ties(hit),
    no_list=without_list(),
    no_truth=without_truth(),
)
