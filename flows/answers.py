"""What people may like next, and why the model thinks so: answers at once, nothing is published."""

from collections.abc import Sequence
from typing import Any

from fpt_model.simple.settings import SIMPLE
from fpt_model.version import code_version
from tasks.answering import answer
from warehouse.choosing import Pick
from warehouse.errors import RefusedError
from warehouse.explanation import explanation
from warehouse.home import Home
from warehouse.raw_ids import User
from warehouse.recommending import Answer, ServingRun, history_of, request, sample_user, serving_run
from warehouse.records import Choice
from warehouse.report.facts import Attention

Row = dict[str, Any]


def asked_training(
    home: Home, choice: Choice, pick: Pick | None = None, *, explains: bool = False
) -> ServingRun:
    """The training that a command means, see `warehouse.recommending.serving_run`.

    To explain, a neural one, even where a simple one is better.
    """
    return serving_run(home, choice, code_version(), pick, SIMPLE if explains else ())


def recommend_for(home: Home, of: ServingRun, users: Sequence[User], top: int) -> Answer:
    """The best items for users by their numbers in the archive, or ids in own data."""
    return _best(home, of, request(home, of, users), top)


def recommend_after(
    home: Home, of: ServingRun, words: Sequence[str], top: int, whole: str | None = None
) -> Answer:
    """The best items after a history of items that somebody new gives."""
    return _best(home, of, [history_of(home, of, words, whole)], top)


def _best(home: Home, of: ServingRun, asked: Sequence[Row], top: int) -> Answer:
    return answer(home, of, asked, ["recommend", "--top", str(top)])


def explain(home: Home, of: ServingRun, user: User | None = None) -> Attention:
    """Which of a user's past items the model attends to; without a user, one is chosen.

    Raises:
        RefusedError: see `refuse_simple`.
    """
    refuse_simple(of)
    number = sample_user(home, of) if user is None else user
    rows = answer(home, of, request(home, of, [number]), ["explain"])
    return Attention(number, of.name, explanation(rows).to_dicts())


def refuse_simple(of: ServingRun) -> None:
    """Only neural models can say what they attend to.

    Raises:
        RefusedError: it is a simple one.
    """
    if of.model in SIMPLE:
        raise RefusedError(
            f"{of.display_name} can't be explained: it is a simple model, which attends to nothing",
            to_do="Train a neural one too, such as SAS-FPT, or name it with --model",
        )
