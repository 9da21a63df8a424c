"""What a report says in sentences: what was run, what is best, and how sure that is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import hypot

from warehouse.report.facts import DataSet, Experiment, Facts, Row
from warehouse.report.numbers import figure, listed
from warehouse.visible import counted

SAMPLED = "uniform_100"


@dataclass(frozen=True)
class Best:
    """The model with the highest NDCG@10 among 100 sampled items, and what it is held against.

    Attributes:
        preset: its settings.
        row: its scores.
        others: how many models it was compared with.
        popularity: the row of popularity, if there is one.
    """

    preset: str
    row: Row
    others: int
    popularity: Row | None


def best_of(experiment: Experiment, popularity: Iterable[Row] = ()) -> Best | None:
    """The best of an experiment; none where nothing was ranked among sampled items."""
    rows = [row for row in experiment.scores if row["protocol"] == SAMPLED]
    if not rows:
        return None
    beside = next((row for row in popularity if row["protocol"] == SAMPLED), None)
    first = max(rows, key=lambda row: (row["ndcg"], row["recall"]))
    return Best(experiment.preset, first, len(rows) - 1, beside)


def best_on(data: DataSet) -> Best | None:
    """The best of all presets on a data set."""
    found = [best_of(one, data.popularity) for one in data.experiments]
    return max((one for one in found if one), key=lambda one: one.row["ndcg"], default=None)


def headline(facts: Facts) -> str:
    """What was run, on what data, and how much one may make of it."""
    trainings = sum(data.about["n_trainings"] for data in facts.data_sets)
    scores = list(_scores(facts.data_sets))
    models = counted(len({row["display_name"] for row in scores}), "model")
    names = list(dict.fromkeys(data.about["dataset"] for data in facts.data_sets))
    return f"{models} on {listed(names)}: {counted(trainings, 'training')}, {_seeds(scores)}."


def verdict(best: Best) -> str:
    """Which model is best, beside popularity."""
    row = best.row
    name, ndcg = row["display_name"], figure(row["ndcg"])
    if best.popularity is None:
        return f"{_is_best(best)} with NDCG@10 {ndcg} among 100 sampled items."
    bar = figure(best.popularity["ndcg"])
    if _apart(row, best.popularity):
        if row["ndcg"] > best.popularity["ndcg"]:
            return (
                f"{_is_best(best)} with NDCG@10 {ndcg} among 100 sampled items; "
                f"ranking by popularity alone gives {bar}."
            )
        return (
            f"No model reaches popularity, which has NDCG@10 {bar} among 100 sampled items; "
            f"the nearest is {name} with {ndcg}."
        )
    return (
        f"{_is_best(best)} with NDCG@10 {ndcg} among 100 sampled items, which is not clearly "
        f"apart from the {bar} of ranking by popularity alone."
    )


def doubts(experiment: Experiment, best: Best) -> list[str]:
    """How sure the order of the models is: the next ones, seeds, and what audits suspect."""
    said = []
    if best.row["warnings"]:
        said.append(f"An audit warns of this figure: {best.row['warnings']}.")
    comparisons = [
        row for row in experiment.comparisons if row["model"] == best.row["display_name"]
    ]
    comparisons = [row for row in comparisons if row["low"] is not None]
    if comparisons:
        rows = [row for row in experiment.scores if row["protocol"] == SAMPLED]
        seeds = {int(row["n_seeds"]) for row in rows if not row["has_no_seed"]}
        said.append(_against(comparisons, several_seeds=min(seeds, default=2) > 1))
        if seeds and min(seeds) == 1:
            some = "With one seed each" if seeds == {1} else "Some models have one seed"
            said.append(f"{some}: another seed may order them otherwise.")
    return said


def _is_best(best: Best) -> str:
    name = str(best.row["display_name"])
    return f"{name} is best of {best.others + 1} models" if best.others else f"{name} is alone here"


def _against(comparisons: Sequence[Row], several_seeds: bool) -> str:
    """Whom the best one can be told from, by paired intervals over users (and seeds)."""
    beaten = [row for row in comparisons if row["low"] > 0]
    unclear = [str(row["other"]) for row in comparisons if row["low"] <= 0]
    nearest = min(comparisons, key=lambda row: row["difference"])
    first, second = nearest["model"], nearest["other"]
    lead = (
        f"{first} leads {second}, the nearest model, by {figure(nearest['difference'])} "
        f"(95\u00a0% interval {figure(nearest['low'])} to {figure(nearest['high'])})"
    )
    if not unclear:
        clear = "a clear lead" if several_seeds else "more than the choice of users explains"
        return f"{lead}, {clear}."
    if not beaten:
        return f"{lead}: too little to tell it from {listed(unclear, 'or')}."
    others = listed([str(row["other"]) for row in beaten])
    return f"{lead}: it is clearly above {others}, but can't be told from {listed(unclear, 'or')}."


def _apart(row: Row, other: Row) -> bool:
    """Whether two scores differ by more than both margins explain: unpaired, so rather not."""
    margins = [one["ndcg_margin"] for one in (row, other)]
    if None in margins:
        return False
    return bool(abs(row["ndcg"] - other["ndcg"]) > hypot(*margins))


def _seeds(scores: Sequence[Row]) -> str:
    drawn = [row for row in scores if not row["has_no_seed"]]
    if not drawn:
        return "with nothing random in them"
    fewest, most = _fewest(drawn), max(row["n_seeds"] for row in drawn)
    if most == 1:
        return "one seed each, so what another seed would change is not known"
    if fewest == most:
        return f"{most} seeds each"
    return f"{fewest} to {most} seeds each"


def _fewest(scores: Sequence[Row]) -> int:
    return min((int(row["n_seeds"]) for row in scores), default=0)


def _scores(data_sets: Iterable[DataSet]) -> Iterable[Row]:
    experiments = chain.from_iterable(data.experiments for data in data_sets)
    return chain.from_iterable(one.scores for one in experiments)
