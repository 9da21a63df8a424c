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


def hit_by(measure):
    """A measure that is 1 where the right item of equal scores is first."""

    def hit(order, item):
        return asked(measure, {"u": dict.fromkeys(order, 1.0)}, {"u": [item]})

    return hit


by = {name: ties(hit_by(one)) for name, one in (("nDCG", nDCG @ 10), ("RR", RR), ("RR@k", RR @ 10))}
whole = by.pop("RR@k")
if by["nDCG"] != by["RR"]:
    raise SystemExit(f"nDCG and RR differ: {by}")
tell(
    ndcg=number(measured(nDCG @ 10, {"u": TEN}, {"u": [SECOND]})),
    recall=number(measured(R @ 3, {"u": THREE}, {"u": FIVE})),
    precision=number(measured(P @ 10, {"u": THREE}, {"u": FIVE})),
    ties=f"nDCG, RR: {by['RR']}; RR@k: {whole}",
    no_list=kept(measured(R @ 3, {"u": ["1"]}, {"u": ["1"], "v": ["1"]})),
    no_truth=without_truth(),
)
