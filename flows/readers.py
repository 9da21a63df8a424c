"""Commands for those who read what was published: SQL, the report, recommendations."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows import console
from flows.guard import guarded
from flows.options import DEFAULT_HOME, AsJson, HomeDir

app = typer.Typer()
Format = Literal["table", "json", "csv"]


@app.command(epilog='`fpt sql leaderboard`, `fpt sql --list`, `fpt sql "SELECT …" --format csv`')
def sql(
    question: Annotated[
        str | None,
        typer.Argument(help="One SQL query on the published tables, or a question's name."),
    ] = None,
    format: Annotated[Format, typer.Option()] = "table",
    names: Annotated[bool, typer.Option("--list", help="Show the questions with a name.")] = False,
    dictionary: Annotated[
        bool, typer.Option("--dictionary", help="Print the data dictionary as Markdown.")
    ] = False,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Ask the published tables; read-only. Without a question: a prompt, or SQL from stdin."""
    chosen: Format = "json" if as_json else format
    if dictionary:
        from warehouse.dictionary import dictionary as written

        sys.stdout.write(written())
    elif names:
        guarded(lambda: _show_names(chosen), home)
    elif question is None and sys.stdin.isatty():
        from flows.prompt import converse

        converse(lambda text: _answer(home, text, chosen), _show_names)
    else:
        text = sys.stdin.read() if question is None else question
        guarded(lambda: _answer(home, text, chosen), home)


def _show_names(format: Format = "table") -> None:
    from warehouse.named import named_questions

    rows = [{"question": one.name, "answers": one.description} for one in named_questions()]
    console.show_rows(rows, "fpt sql …", as_json=format == "json")


def _answer(home: Path, question: str, format: Format) -> None:
    from warehouse.home import Home
    from warehouse.named import sql_of
    from warehouse.questions import ask

    answer = ask(Home(home.expanduser().resolve()), sql_of(question))
    if format == "csv":
        sys.stdout.write(answer.write_csv())
    else:
        console.show_answer(answer.to_dicts(), as_json=format == "json")
