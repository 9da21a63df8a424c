"""Commands for those who read what was published: SQL, the report, recommendations."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows import console
from flows.files import history_words, refuse_unwritable
from flows.guard import guarded, working
from flows.options import DEFAULT_HOME, AsJson, HomeDir

if TYPE_CHECKING:
    from tasks.recommending import Advice
    from warehouse.answers import Answers

app = typer.Typer()
Format = Literal["table", "json", "csv"]
SHOWN_USERS = 20
RunId = Annotated[
    str, typer.Option("--run", help="A training's id, or how it begins; else the best.")
]
Top = Annotated[int, typer.Option(min=1, max=1000, help="Items for each user.")]


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
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for a question.")] = 60.0,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Ask the published tables; read-only. Without a question: a prompt, or SQL from stdin."""
    chosen: Format = "json" if as_json else format
    if dictionary:
        guarded(_write_dictionary, home)
    elif names:
        guarded(lambda: _show_names(chosen), home)
    else:
        guarded(lambda: _ask(home, question, chosen, timeout), home)


@app.command(epilog="`fpt recommend --user 7 --user 9 --top 5`, `fpt recommend --history 1,50`")
def recommend(
    users: Annotated[
        list[int], typer.Option("--user", help="A user's number in the archive; repeatable.")
    ] = [],  # noqa: B006 - Typer copies it
    everybody: Annotated[bool, typer.Option("--all", help="All users of the archive.")] = False,
    history: Annotated[
        str | None,
        typer.Option(help="Somebody new: movie numbers 1,50,181, or a file with a title a line."),
    ] = None,
    run_id: RunId = "",
    top: Top = 10,
    output: Annotated[Path | None, typer.Option(help="Parquet file to write as well.")] = None,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """The best items for users, seen ones left out, into `mart.recommendations`.

    Users whom the training did not see are served as well. What somebody new gives as a history
    is answered, not kept.
    """

    def answer_history(given: str) -> None:
        from flows.recommend import recommend_after

        rows = recommend_after(history_words(given), run_id, top, output, home)
        console.show_rows(rows, "Recommended", as_json=as_json)

    def publish() -> "Advice":
        from flows.recommend import recommend as flow

        return flow(None if everybody else users, run_id, top, output, home=home)

    guarded(lambda: refuse_unwritable(output), home)
    if history is not None:
        guarded(lambda: answer_history(history), home)
        return
    done = working(publish, home)
    guarded(lambda: _show_advice(done, home, as_json), home)


@app.command(epilog="`fpt explain 7`")
def explain(
    user: Annotated[int, typer.Argument(help="A user's number in the archive.")],
    run_id: RunId = "",
    top: Annotated[int, typer.Option(min=1, help="Past items, the most attended first.")] = 10,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Which past items the model attends to when it recommends, and how long ago they were."""

    def answer() -> None:
        from flows.recommend import explain as explained

        attention = explained(home, user, run_id)
        rows = sorted(attention.rows, key=lambda row: -row["weight"])
        console.show_rows(rows[:top], f"User {user}: {attention.by}", as_json=as_json)

    guarded(answer, home)


@app.command(epilog="`fpt report`, `fpt report --output week-12.html --user 7`")
def report(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    user: Annotated[
        int | None, typer.Option(help="Whose history the model is asked about; else a typical one.")
    ] = None,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write all that was measured into one HTML file, readable without network or script."""

    def write() -> None:
        refuse_unwritable(output)
        from flows.report import report as written

        path = written(home, output, user)
        console.show_rows([{"report": str(path)}], "Written", as_json=as_json)

    guarded(write, home)


def _show_advice(done: "Advice", home: Path, as_json: bool) -> None:
    if not as_json and done.users > SHOWN_USERS:
        console.err.print(f"{done.rows:,} rows for {done.users:,} users; `fpt sql recommendations`")
        return
    console.show_rows(_published(home, done.run_id), "Recommended", as_json=as_json)


def _published(home: Path, run_id: str) -> list[dict[str, Any]]:
    from warehouse.database import statements
    from warehouse.home import Home
    from warehouse.questions import ask

    return ask(Home.at(home), statements("recommend/published"), [run_id]).to_dicts()


def _show_names(format: Format = "table") -> None:
    from warehouse.named import named_questions

    rows = [{"question": one.name, "answers": one.description} for one in named_questions()]
    console.show_rows(rows, "fpt sql …", as_json=format == "json")


def _write_dictionary() -> None:
    from warehouse.dictionary import dictionary

    sys.stdout.write(dictionary())


def _ask(home: Path, question: str | None, format: Format, timeout: float) -> None:
    """One question, or those of a prompt."""
    from warehouse.answers import Answers, Limits
    from warehouse.home import Home

    # the process that answers starts while we read
    with Answers(Home.existing(home), Limits(seconds=timeout)) as answers:
        if question is None and sys.stdin.isatty():
            from flows.prompt import converse

            converse(lambda text: _answer(answers, text, format), _show_names)
        else:
            _answer(answers, sys.stdin.read() if question is None else question, format)


def _answer(answers: "Answers", question: str, format: Format) -> None:
    from warehouse.named import sql_of

    answer = answers.ask(sql_of(question), format)
    if format == "table":
        _show(json.load(answer))
        return
    try:
        shutil.copyfileobj(answer, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(table: dict[str, Any]) -> None:
    """What `warehouse.cells` keeps of an answer for a screen."""
    kinds = [float if fraction else str for fraction in table["fractions"]]
    rows = [
        {
            name: cell if cell is None else kind(cell)
            for name, kind, cell in zip(table["names"], kinds, row, strict=True)
        }
        for row in table["rows"]
    ]
    console.show_answer(rows)
    if table["more"]:
        console.err.print(f"Only the first {len(rows):,} rows are shown; `--format csv` has all")
