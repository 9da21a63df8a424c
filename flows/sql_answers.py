"""`fpt sql`: questions to the published tables, and their answers on the screen or in a file."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

from flows import console, first_word, paging
from flows.files import refuse_unwritable
from warehouse.errors import RefusedError

if TYPE_CHECKING:
    from warehouse.answers import Answers
    from warehouse.saved_queries import SavedQuery

Format = Literal["table", "json", "csv"]
File = Literal["parquet", "csv", "xlsx", "json"]
KINDS: dict[str, Callable[[str], Any]] = {"text": str, "whole": int, "fraction": float}


@dataclass(frozen=True)
class Shown:
    """How answers are wanted.

    Attributes:
        format: on the screen.
        output: file to write instead; its ending says of what kind.
        pager: whether long tables may go through one.
        seconds: that a question may take.
    """

    format: Format
    output: Path | None
    pager: bool
    seconds: float

    @property
    def file(self) -> File | None:
        """The kind of file that is wanted.

        Raises:
            RefusedError: its ending is of no known kind.
        """
        if self.output is None:
            return None
        ending = self.output.suffix.lower().removeprefix(".")
        for known in get_args(File):
            if ending == known:
                return known  # type: ignore[no-any-return]
        raise RefusedError(
            "An answer can't be written as such a file",
            got=str(self.output),
            expected=" or ".join(f".{known}" for known in get_args(File)),
        )


def ask(home: Path, question: str | None, settings: Sequence[str], shown: Shown) -> None:
    """One question, or those of a prompt."""
    from warehouse.answers import Answers, Limits
    from warehouse.home import Home
    from warehouse.saved_queries import saved_query

    refuse_unwritable(shown.output)
    _ = shown.file
    whole = _joined(question, settings)
    if whole is not None:
        saved_query(whole)  # a mistyped name is told before anything starts
    # the process that answers starts while we read
    with Answers(Home.existing(home), Limits(seconds=shown.seconds)) as answers:
        if whole is None and shown.output is None and sys.stdin.isatty():
            from flows.prompt import converse

            converse(lambda text: answer(answers, text, shown), lambda: show_names(shown.format))
        else:
            answer(answers, sys.stdin.read() if whole is None else whole, shown)


def _joined(question: str | None, settings: Sequence[str]) -> str | None:
    """A question's name and its settings as they would be typed at the prompt."""
    if question is None or not settings:
        return question
    from warehouse.saved_queries import may_be_name

    whole = shlex.join([question, *settings])
    if not may_be_name(whole):
        raise RefusedError(
            "Only questions with a name have settings",
            got=whole,
            expected="NAME=VALUE after the name",
            to_do="`fpt sql --list` shows what each takes",
        )
    return whole


def answer(answers: "Answers", question: str, shown: Shown) -> None:
    """Ask one question and show its answer, or write it."""
    from warehouse.saved_queries import sql_of

    def own() -> list[str]:
        from warehouse.described import described_names

        return described_names(answers.home)

    form = shown.file or shown.format
    found = answers.ask(sql_of(question, own), form)
    if shown.output is not None:
        _write(found, shown.output)
    elif form == "table":
        _show(json.load(found), question, shown)
    else:
        _copy(found)
        if form == "json" and answers.names is not None:
            _say_nothing(question, answers.names)


def _copy(found: IO[bytes]) -> None:
    try:
        first_word.over()
        shutil.copyfileobj(found, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(found: IO[bytes], output: Path) -> None:
    from warehouse.placing import put_in_place

    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("wb") as file:
            shutil.copyfileobj(found, file)
        size = partial.stat().st_size
        put_in_place(partial, output)
    finally:
        partial.unlink(missing_ok=True)
    console.err.print(f"Written: {output}, {size:,} bytes", markup=False, soft_wrap=True)


def _show(table: dict[str, Any], question: str, shown: Shown) -> None:
    """What `warehouse.cells` keeps of an answer for a screen."""
    kinds = [KINDS[kind] for kind in table["kinds"]]
    rows = [
        {
            name: cell if cell is None else kind(cell)
            for name, kind, cell in zip(table["names"], kinds, row, strict=True)
        }
        for row in table["rows"]
    ]
    if not rows:
        console.show_nothing(table["names"])
        _say_nothing(question, table["names"])
        return
    left_out: list[str] = []
    paging.show(console.out, lambda: left_out.extend(console.show_answer(rows)), paged=shown.pager)
    if left_out and _about(question) is None:  # columns that somebody asked for by SQL
        _say(f"No value in any row of {', '.join(left_out)}")
    if table["more"]:
        _say(f"Only the first {len(rows):,} rows are shown; `--format csv` has all")


def _say_nothing(question: str, names: Sequence[str]) -> None:
    """That there is no row, of which columns, and what makes some."""
    about = _about(question)
    first = f"; {about.first} makes some" if about is not None and about.first else ""
    _say(f"No rows of {', '.join(names)}{first}")


def _say(text: str) -> None:
    console.err.print(text, markup=False, soft_wrap=True)


def _about(question: str) -> "SavedQuery | None":
    from warehouse.saved_queries import saved_query

    return saved_query(question)


def show_names(format: Format = "table") -> None:
    """The questions with a name, with their settings."""
    from warehouse.saved_queries import saved_queries

    rows = [
        {"question": one.name, "answers": one.description, "settings": one.takes}
        for one in saved_queries()
    ]
    console.show_rows(rows, "fpt sql …", as_json=format == "json")
