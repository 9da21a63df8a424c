"""Sentences of the report: what is best, beside popularity, and how sure that is."""

import pytest

from warehouse.report.facts import DataSet, Experiment, Facts
from warehouse.report.words import best_of, best_on, doubts, headline, verdict

BAR = {"protocol": "uniform_100", "recall": 0.3, "ndcg": 0.18, "ndcg_margin": 0.03}


def score(model: str, ndcg: float, seeds: int = 1, protocol: str = "uniform_100", warnings=None):
    about = {"display_name": model, "protocol": protocol, "n_seeds": seeds, "warnings": warnings}
    about |= {"has_no_seed": False}
    return about | {"recall": 2 * ndcg, "ndcg": ndcg, "ndcg_margin": 0.04}


def rival(model: str, other: str, difference: float, half: float):
    about = {"model": model, "other": other, "difference": difference}
    return about | {"low": difference - half, "high": difference + half}


def said_of(scores, popularity=(BAR,)) -> str:
    best = best_of(Experiment("quick", scores), popularity)
    assert best
    return verdict(best)


@pytest.mark.parametrize(
    ("ndcg", "said"),
    [  # two margins, .04 and .03, explain a distance of .05
        (0.24, "B is best of 2 models with NDCG@10 .2400 among 100 sampled items; ranking by"),
        (0.22, "not clearly apart from the .1800 of ranking by popularity alone."),
        (0.14, "not clearly apart from the .1800"),
        (0.12, "No model reaches popularity, which has NDCG@10 .1800 among 100 sampled items;"),
    ],
)
def test_the_best_is_held_against_popularity(ndcg, said):
    assert said in said_of([score("A", 0.1), score("B", ndcg)])


def test_a_model_alone_is_called_so_and_popularity_may_be_unknown():
    assert said_of([score("A", 0.2)], ()) == (
        "A is alone here with NDCG@10 .2000 among 100 sampled items."
    )


def test_what_is_ranked_among_all_items_only_has_no_best():
    experiment = Experiment("quick", [score("A", 0.9, protocol="full")])
    assert best_of(experiment) is None
    assert best_on(DataSet({}, [experiment])) is None


@pytest.mark.parametrize(
    ("comparisons", "said"),
    [
        (
            [rival("A", "B", 0.02, 0.01), rival("A", "C", 0.05, 0.01)],
            "A leads B, the nearest model, by .0200 (95\u00a0% interval .0100 to .0300), {clear}.",
        ),
        (
            [rival("A", "B", 0.02, 0.03), rival("A", "C", 0.02, 0.03)],
            "(95\u00a0% interval −.0100 to .0500): too little to tell it from B or C.",
        ),
        (
            [rival("A", "B", 0.02, 0.03), rival("A", "C", 0.05, 0.01)],
            "it is clearly above C, but can't be told from B.",
        ),
    ],
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_how_sure_the_order_is(comparisons, said, seeds):
    scores = [score("A", 0.3, seeds), score("B", 0.28, seeds), score("C", 0.25, seeds)]
    others = [rival("B", "A", -0.02, 0.01)]
    experiment = Experiment("quick", scores, comparisons=[*others, *comparisons])
    best = best_of(experiment)
    assert best
    told = " ".join(doubts(experiment, best))
    clear = "a clear lead" if seeds > 1 else "more than the choice of users explains"
    assert said.replace("{clear}", clear) in told
    assert ("another seed" in told) == (seeds == 1)


def test_one_seed_of_some_models_is_said_too():
    scores = [score("A", 0.3, 5), score("B", 0.28, 1)]
    experiment = Experiment("quick", scores, comparisons=[rival("A", "B", 0.02, 0.01)])
    best = best_of(experiment)
    assert best
    assert doubts(experiment, best)[-1] == (
        "Some models have one seed: another seed may order them otherwise."
    )


def test_what_an_audit_suspects_is_said_first():
    experiment = Experiment("quick", [score("A", 0.3, warnings="too-good")])
    best = best_of(experiment)
    assert best
    assert doubts(experiment, best) == ["An audit warns of this figure: too-good."]


def test_the_headline_counts_what_was_run():
    def data(name: str, *scores) -> DataSet:
        return DataSet({"dataset": name, "n_trainings": 2}, [Experiment("quick", list(scores))])

    def facts(*data_sets: DataSet) -> Facts:
        return Facts(list(data_sets), [], [], [])

    one = data("synthetic", score("A", 0.1), score("B", 0.1))
    assert headline(facts(one)) == (
        "2 models on synthetic: 2 trainings, one seed each, "
        "so what another seed would change is not known."
    )
    many = data("ml-1m", score("A", 0.1, seeds=5))
    assert headline(facts(many)) == "1 model on ml-1m: 2 trainings, 5 seeds each."
    assert headline(facts(many, many, one)) == (
        "2 models on ml-1m and synthetic: 6 trainings, 1 to 5 seeds each."
    )


def test_of_what_has_no_seed_nothing_is_said_of_seeds():
    ridge = score("Ridge", 0.3) | {"has_no_seed": True}
    theirs = score("theirs (imported)", 0.2) | {"has_no_seed": True}
    experiment = Experiment(
        "quick", [ridge, theirs], comparisons=[rival("Ridge", "theirs", 0.1, 0.01)]
    )
    best = best_of(experiment)
    assert best
    assert not any("seed" in said for said in doubts(experiment, best))
    with_neural = Experiment(
        "quick", [ridge, score("A", 0.2)], comparisons=[rival("Ridge", "A", 0.1, 0.01)]
    )
    assert any("With one seed each" in said for said in doubts(with_neural, best))
