"""Commands for those who read what was published: SQL, the report, recommendations."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows import console
from flows.files import refuse_unwritable
from flows.guard import guarded, working
from flows.options import DEFAULT_HOME, AsJson, HomeDir

if TYPE_CHECKING:
    from tasks.recommending import Advice
    from warehouse.answers import Answers

app = typer.Typer()
Format = Literal["table", "json", "csv"]
RunId = Annotated[
    str, typer.Option("--run", help="A training's id, or how it begins; else the best.")
]
AskedData = Annotated[
    str, typer.Option("--dataset", help="Data set; else the only one, or the one named last.")
]
AskedRetention = Annotated[str, typer.Option("--retention", help="5-core or cold-start.")]
AskedModel = Annotated[
    str, typer.Option("--model", help="Such as SAS-FPT; else the best on validation.")
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


@app.command(epilog="`fpt recommend --user 7 --user 9`, `fpt recommend --history 1,50`, `… --all`")
def recommend(
    users: Annotated[
        list[int], typer.Option("--user", help="A user's number in the archive; repeatable.")
    ] = [],  # noqa: B006 - Typer copies it
    everybody: Annotated[
        bool, typer.Option("--all", help="All users of the archive, into the table.")
    ] = False,
    history: Annotated[
        str | None,
        typer.Option(help="Somebody new: movie numbers 1,50,181, or a file with a title a line."),
    ] = None,
    dataset: AskedData = "",
    retention: AskedRetention = "",
    model: AskedModel = "",
    run_id: RunId = "",
    top: Top = 10,
    publish: Annotated[
        bool, typer.Option("--publish", help="Keep it in mart.recommendations as well.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Parquet file to write as well.")] = None,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """The best items for users, those they know left out.

    Users whom the training did not see are served as well. For named users and for somebody new
    the answer is shown and not kept; `--publish` and `--all` write it into `mart.recommendations`.
    """
    from flows.asking import Asked, advise, checked, refuse_unasked, show_published
    from warehouse.choosing import Choice

    asked = Asked(home, Choice(dataset, retention, model, run_id), top, output, as_json)
    guarded(lambda: refuse_unwritable(output), home)
    guarded(lambda: refuse_unasked(users, history, everybody=everybody, publish=publish), home)
    if not (everybody or publish):
        guarded(lambda: advise(asked, users, history), home)
        return
    wanted = None if everybody else users
    of = guarded(lambda: checked(asked, wanted), home)

    def flow() -> "Advice":
        from flows.recommend import recommend

        return recommend(wanted, of.run_id, top, output, home=home)

    done = working(flow, home)
    guarded(lambda: show_published(asked, of, done), home)


@app.command(epilog="`fpt explain 7`")
def explain(
    user: Annotated[int, typer.Argument(help="A user's number in the archive.")],
    dataset: AskedData = "",
    retention: AskedRetention = "",
    model: AskedModel = "",
    run_id: RunId = "",
    top: Annotated[int, typer.Option(min=1, help="Past items, the most attended first.")] = 10,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Which past items the model attends to when it recommends, and how long ago they were."""
    from flows.asking import Asked, explain_to
    from warehouse.choosing import Choice

    asked = Asked(home, Choice(dataset, retention, model, run_id), top, None, as_json)
    guarded(lambda: explain_to(asked, user), home)


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
