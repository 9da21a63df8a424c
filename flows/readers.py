"""Commands for those who read what was published: SQL, the report, recommendations."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows import console, first_word
from flows.files import refuse_unwritable
from flows.guard import exit_on_error, run_flow
from flows.options import DEFAULT_HOME, AsJson, HomeDir, choosing
from warehouse.records import ANY, Choice

if TYPE_CHECKING:
    from flows.asking import Asked
    from warehouse.recommending import ServingRun

app = typer.Typer()
Format = Literal["table", "json", "csv"]
Top = Annotated[int, typer.Option(min=1, max=1000, help="Items for each user.")]


@app.command(epilog='`fpt sql leaderboard`, `fpt sql slices model=SAS-FPT`, `fpt sql "SELECT …"`')
def sql(
    question: Annotated[
        str | None,
        typer.Argument(help="A SQL query on the published tables, or the name of a question."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Settings of a question that has a name."),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print the answer.")] = "table",
    output: Annotated[
        Path | None, typer.Option(help="File to write: .parquet, .csv, .xlsx or .json.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--list", help="List the questions that have a name.")
    ] = False,
    dictionary: Annotated[
        bool, typer.Option("--dictionary", help="Print the data dictionary as Markdown.")
    ] = False,
    pager: Annotated[
        bool,
        typer.Option("--pager/--no-pager", help="Use a pager for answers longer than the screen."),
    ] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that a question may take.")
    ] = 60.0,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Ask the published tables a question. Without one: a prompt, or SQL from stdin."""

    def answer() -> None:
        from flows.sql_answers import Shown, ask, show_names

        shown = Shown("json" if as_json else format, output, pager, timeout)
        if names:
            show_names(shown.format)
        else:
            ask(home, question, settings or [], shown)

    exit_on_error(_write_dictionary if dictionary else answer, home)


@app.command(epilog="`fpt recommend --user 7 --user 9`, `fpt recommend --history 1,50`, `… --all`")
@choosing
def recommend(
    users: Annotated[
        list[str],
        typer.Option(
            "--user", help="A user's number in the archive, or id in your own data; repeatable."
        ),
    ] = [],  # noqa: B006 - Typer copies it
    everybody: Annotated[
        bool, typer.Option("--all", help="All users; the answers are published.")
    ] = False,
    history: Annotated[
        str | None,
        typer.Option(
            help="Somebody new, by past items: numbers such as 1,50,181, ids of your own data, "
            "or a file with one title a line."
        ),
    ] = None,
    choice: Choice = ANY,
    top: Top = 10,
    publish: Annotated[
        bool, typer.Option("--publish", help="Store the answer in mart.recommendations too.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write the answer to this Parquet file too.")
    ] = None,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show the best items for users.

    Items that a user has had are left out, unless they can come again. Users whom the training did
    not see are served as well. The answer for named users or for somebody new is only shown;
    `--publish` and `--all` write it into `mart.recommendations`.
    """
    wanted = None if everybody else users

    def begin() -> "tuple[Asked, ServingRun | None]":
        from flows.asking import Asked, checked, refuse_unasked, show_recommendations

        refuse_unwritable(output)
        refuse_unasked(users, history, everybody=everybody, publish=publish)
        asked = Asked(home, choice, top, output, as_json)
        if everybody or publish:
            return asked, checked(asked, wanted)
        show_recommendations(asked, users, history)
        return asked, None

    asked, of = exit_on_error(begin, home)
    if of is None:
        return

    given = {"users": wanted, "run_id": of.run_id, "top": top, "output": output, "home": home}
    done = run_flow("flows.recommend:recommend", given)
    exit_on_error(lambda: asked.show_published(of, done), home)


@app.command(epilog="`fpt explain 7`")
@choosing
def explain(
    user: Annotated[
        str, typer.Argument(help="A user's number in the archive, or id in your own data.")
    ],
    choice: Choice = ANY,
    top: Annotated[
        int, typer.Option(min=1, help="How many past items to show, the most attended first.")
    ] = 10,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show which past items the model attends to when it recommends, and how old they are."""

    def answer() -> None:
        from flows.asking import Asked, explain_to

        explain_to(Asked(home, choice, top, None, as_json), user)

    exit_on_error(answer, home)


@app.command(epilog="`fpt report`, `fpt report --output week-12.html --user 7`")
def report(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    user: Annotated[
        str | None, typer.Option(help="User of the example. Default: a typical one.")
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

    exit_on_error(write, home)


def _write_dictionary() -> None:
    from warehouse.dictionary import dictionary

    text = dictionary()
    first_word.over()
    sys.stdout.write(text)
