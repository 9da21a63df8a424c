"""Commands for those who read what was published: SQL, the report, recommendations."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows import console
from flows.guard import guarded, working
from flows.options import DEFAULT_HOME, AsJson, HomeDir

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
    from flows import recommend as flows

    if history is not None:
        words = _words(history)
        rows = guarded(lambda: flows.recommend_after(words, run_id, top, output, home), home)
        console.show_rows(rows, "Recommended", as_json=as_json)
        return
    asked = None if everybody else users
    done = working(lambda: flows.recommend(asked, run_id, top, output, home=home), home)
    rows = guarded(lambda: _published(home, done.run_id), home)
    if not as_json and done.users > SHOWN_USERS:
        console.err.print(f"{done.rows:,} rows for {done.users:,} users; `fpt sql recommendations`")
        return
    console.show_rows(rows, "Recommended", as_json=as_json)


@app.command(epilog="`fpt explain 7`")
def explain(
    user: Annotated[int, typer.Argument(help="A user's number in the archive.")],
    run_id: RunId = "",
    top: Annotated[int, typer.Option(min=1, help="Past items, the most attended first.")] = 10,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Which past items the model attends to when it recommends, and how long ago they were."""
    from flows.recommend import explain as explained

    attention = guarded(lambda: explained(home, user, run_id), home)
    rows = sorted(attention.rows, key=lambda row: -row["weight"])
    console.show_rows(rows[:top], f"User {user}: {attention.by}", as_json=as_json)


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
    from flows.report import report as written

    path = guarded(lambda: written(home, output, user), home)
    console.show_rows([{"report": str(path)}], "Written", as_json=as_json)


def _words(history: str) -> list[str]:
    """Items as given: numbers with commas between, or the lines of a file."""
    path = Path(history)
    lines = path.read_text("utf-8").splitlines() if path.is_file() else history.split(",")
    return [line.strip() for line in lines if line.strip()]


def _published(home: Path, run_id: str) -> list[dict[str, Any]]:
    from warehouse.database import statements
    from warehouse.home import Home
    from warehouse.questions import ask

    return ask(Home.at(home), statements("recommend/published"), [run_id]).to_dicts()


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
