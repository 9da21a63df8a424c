"""ir_measures: qrels and a run, dictionaries of names."""

import ir_measures
from cells import FIVE, SECOND, TEN, THREE, kept, number, tell, ties
from ir_measures import RR, P, R, nDCG


def judged(items):
    """Names as they are, or with their relevance."""
    return items if isinstance(items, dict) else dict.fromkeys(items, 1)


def without_truth():
    lists = {"u": ["1"], "v": ["1"]}
    none_right, none = (
        kept(measured(R @ 3, lists, {"u": ["1"], "v": items})) for items in ({"1": 0}, {})
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
    return ir_measures.calc_aggregate([measure], qrels, run)[measure]


def first_by(measure):
    def first(order):
        run = {"u": dict.fromkeys(order, 1.0)}
        return next(i for i in order if asked(measure, run, {"u": [i]}) == 1)

    return first


by = {str(measure): ties(first_by(measure)) for measure in (nDCG @ 10, RR, RR @ 10)}
names = {"nDCG@10": "nDCG", "RR": "RR", "RR@10": "RR@k"}
tell(
    ndcg=number(measured(nDCG @ 10, {"u": TEN}, {"u": [SECOND]})),
    recall=number(measured(R @ 3, {"u": THREE}, {"u": FIVE})),
    precision=number(measured(P @ 10, {"u": THREE}, {"u": FIVE})),
    ties="; ".join(f"{names[name]}: {word}" for name, word in by.items()),
    no_list=kept(measured(R @ 3, {"u": ["1"]}, {"u": ["1"], "v": ["1"]})),
    no_truth=without_truth(),
)
