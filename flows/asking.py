"""`fpt recommend` and `fpt explain`: whom they ask, and how the answer is shown."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flows import console
from flows.files import history_words
from warehouse.choosing import Offer, remember
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.raw_ids import User
from warehouse.records import Choice

if TYPE_CHECKING:
    from tasks.recommending import Recommendations
    from warehouse.recommending import Answer, ServingRun

SHOWN_USERS = 20


@dataclass(frozen=True)
class Asked:
    """What a command asks for.

    Attributes:
        home: folder of the pipeline.
        choice: what it names of the training.
        top: items for each user.
        output: Parquet file to write as well.
        as_json: for scripts.
    """

    home: Path
    choice: Choice
    top: int
    output: Path | None
    as_json: bool

    def training(self, *, explains: bool = False) -> "ServingRun":
        """The training that answers; of several data sets, somebody at a terminal is asked."""
        from flows.answers import asked_training

        at_terminal = not self.as_json and sys.stdin.isatty() and sys.stderr.isatty()
        pick = self._pick if at_terminal else None
        return asked_training(Home.at(self.home), self.choice, pick, explains=explains)

    def _pick(self, offers: Sequence[Offer]) -> Offer:
        for number, one in enumerate(offers, start=1):
            console.err.print(f"{number}  {one.data} {one.retention}: {one.models}", markup=False)
        place = 0
        while not 1 <= place <= len(offers):
            place = typer.prompt(f"Which data set, 1 to {len(offers)}", type=int, err=True)
        found = offers[place - 1]
        remember(Home.at(self.home), Choice(found.data, found.retention))
        return found

    def show(self, rows: Sequence[dict[str, Any]], what: str, of: "ServingRun") -> None:
        """Print an answer, with the training that gives it: over a table, in each row of JSON."""
        if self.as_json:
            rows = [row | of.facts for row in rows]
        console.show_rows(rows, f"{what} {of.title}", as_json=self.as_json)

    def show_published(self, of: "ServingRun", done: "Recommendations") -> None:
        """Print what was published, or where it stands if it is much."""
        from warehouse.database import statements
        from warehouse.questions import ask

        if not self.as_json and done.users > SHOWN_USERS:
            said = f"{done.rows:,} rows for {done.users:,} users, by {of.title}"
            console.err.print(f"{said}: `fpt sql recommendations` shows them", markup=False)
            return
        question = statements("recommend/published")
        rows = ask(Home.at(self.home), question, [done.run_id])
        self.show(_in_words(rows, of).to_dicts(), "Published:", of)


def refuse_unasked(
    users: Sequence[User], history: str | None, *, everybody: bool, publish: bool
) -> None:
    """Refuse to recommend to nobody, or to two kinds of people at once.

    Raises:
        RefusedError: so.
    """
    ways = "`--user 7`, `--history 1,50,181` for somebody new, or `--all`"
    said = [name for name, there in _said(users, history, everybody=everybody).items() if there]
    if len(said) != 1:
        raise RefusedError(
            "Whom to recommend to is not said" if not said else "One way to say whom is enough",
            got=" and ".join(said) or None,
            to_do=f"Give {ways}",
        )
    if publish and history is not None:
        raise RefusedError(
            "What somebody new is recommended can't be published",
            got="--history with --publish",
            to_do="Leave --publish out: the answer is shown, and `--output` keeps it",
        )


def _said(users: Sequence[User], history: str | None, *, everybody: bool) -> dict[str, bool]:
    return {"--user": bool(users), "--history": history is not None, "--all": everybody}


def show_recommendations(asked: Asked, users: Sequence[User], history: str | None) -> None:
    """Show the best items for users, or for somebody new; nothing is published."""
    from flows.answers import recommend_after, recommend_for

    of, home = asked.training(), Home.at(asked.home)
    if history is None:
        rows = recommend_for(home, of, users, asked.top)
    else:
        rows = recommend_after(home, of, history_words(history), asked.top, history.strip())
    if asked.output is not None:
        rows.write_parquet(asked.output)
    shown = _in_words(rows, of)
    if history is not None:
        shown = shown.drop("user")
    asked.show(shown.to_dicts(), "Recommended by", of)


def _in_words(rows: "Answer", of: "ServingRun") -> "Answer":
    """Recommendations as people read them: of own data with the ids of its source."""
    from warehouse.known import is_own

    if is_own(of.dataset):
        return rows.select(
            "rank", "title", "score", user="user_key", categories="genres", item="item_key"
        ).select("user", "rank", "title", "categories", "item", "score")
    return rows.select(
        "rank", "title", "genres", "score", user="raw_user_id", movie="raw_item_id"
    ).select("user", "rank", "title", "genres", "movie", "score")


def checked(asked: Asked, users: Sequence[User] | None) -> "ServingRun":
    """The training that is to answer for these users: a mistyped number is no failed run."""
    from warehouse.recommending import request

    of = asked.training()
    if users is not None:
        request(Home.at(asked.home), of, users)
    return of


def explain_to(asked: Asked, user: User) -> None:
    """Show which past items of a user the model attends to, the most attended first."""
    from flows.answers import explain
    from warehouse.known import is_own

    of = asked.training(explains=True)
    attention = explain(Home.at(asked.home), of, user)
    rows = sorted(attention.rows, key=lambda row: -row["weight"])
    if is_own(of.dataset):
        rows = [{"item" if name == "movie" else name: row[name] for name in row} for row in rows]
    asked.show(rows[: asked.top], f"User {user}, as seen by", of)
