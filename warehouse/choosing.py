"""Which data set is asked when a command names none: never another than the one before, in silence.

A user's number means another person in another data set. So the only data set with trainings is
taken, or the one that was asked for by name last; of several of which none was named, none is.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.placing import put_in_place
from warehouse.questions import ask
from warehouse.records import ANY, Choice


@dataclass(frozen=True)
class Offer:
    """A data set with published trainings.

    Attributes:
        data: as tables write it, with its archive where that is not the publisher's.
        dataset: its name.
        retention: 5-core or cold-start.
        models: names of those that were trained on it.
    """

    data: str
    dataset: str
    retention: str
    models: str

    def fits(self, choice: Choice) -> bool:
        """Whether a command may mean it."""
        return choice.dataset in ("", self.dataset, self.data) and choice.retention in (
            "",
            self.retention,
        )


Pick = Callable[[Sequence[Offer]], Offer]


def settle(home: Home, choice: Choice, pick: Pick | None = None) -> Choice:
    """The data set, retention and model that a command means.

    Args:
        home: where they are published.
        choice: what it names.
        pick: asks somebody which of several.

    Raises:
        RefusedError: nothing fits, or several do and there is nobody to ask.
    """
    named = any(asdict(choice).values())
    before = ANY if named else remembered(home)
    model = choice.model or before.model
    fitting = [offer for offer in _offers(home, model) if offer.fits(choice)]
    if not fitting or (before.dataset and not _among(before, fitting)):
        raise _nothing_fits(home, choice if named else before, named)
    if len(fitting) == 1:
        found = fitting[0]
    else:
        found = _among(remembered(home), fitting) or _picked(fitting, pick)
    return Choice(found.data, found.retention, model)


def _offers(home: Home, model: str = "") -> list[Offer]:
    found = ask(home, statements("recommend/choices"), [model or None])
    return [Offer(*row) for row in found.rows()]


def _among(choice: Choice, offers: Sequence[Offer]) -> Offer | None:
    exact = (choice.dataset, choice.retention)
    return next((one for one in offers if (one.data, one.retention) == exact), None)


def _picked(offers: Sequence[Offer], pick: Pick | None) -> Offer:
    if pick is not None:
        return pick(offers)
    first = offers[0]
    raise RefusedError(
        "Several data sets have trainings, and a user's number is another person in each",
        got="no choice",
        expected=" or ".join(f"{one.data} {one.retention}" for one in offers),
        to_do=f"Name one, which is then remembered: `--dataset {first.dataset} "
        f"--retention {first.retention}`",
    )


def _nothing_fits(home: Home, choice: Choice, named: bool) -> RefusedError:
    every = _offers(home)
    if not every:
        return RefusedError("No training is published", to_do="Run `fpt run` first")
    words = filter(None, (choice.model, choice.dataset, choice.retention))
    return RefusedError(
        "No published training is what is asked for"
        if named
        else "What was asked for last has no published training any more",
        got=" ".join(words),
        expected=" or ".join(f"{one.data} {one.retention} ({one.models})" for one in every),
        to_do="Name one of them by `--dataset`, `--retention` and `--model`",
    )


def remember(home: Home, choice: Choice) -> None:
    """Keep a choice that somebody made by name, for commands that name nothing."""
    partial = _note(home).with_suffix(".partial")
    with suppress(OSError):  # a home that is not ours to write in can be asked all the same
        partial.write_text(json.dumps(asdict(choice)), encoding="utf-8")
        put_in_place(partial, _note(home))


def remembered(home: Home) -> Choice:
    """What was chosen by name last; empty where nothing was."""
    try:
        return Choice(**json.loads(_note(home).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return ANY


def _note(home: Home) -> Path:
    return home.root / "chosen.json"
