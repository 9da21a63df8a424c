"""`fpt backtest`: how would each variant have done on what really came next?"""

from datetime import datetime
from typing import Annotated

import typer

from flows import console
from flows.guard import exit_on_error, run_flow
from flows.options import ONE, AsJson, Given, Wait, asking
from flows.refusing import asked_presets
from warehouse.errors import RefusedError

app = typer.Typer()
FORMATS = ["%Y-%m-%d"]
First = Annotated[datetime | None, typer.Option("--from", formats=FORMATS, help="First day.")]
Last = Annotated[datetime | None, typer.Option("--to", formats=FORMATS, help="Last day.")]
Every = Annotated[int, typer.Option("--every", min=1, help="Months from one day to the next.")]
Days = Annotated[
    list[datetime],
    typer.Option("--on", formats=FORMATS, help="One day; repeatable. Instead of --from and --to."),
]


@app.command(
    epilog="`fpt backtest --dataset ml-1m --source ml-1m.zip --from 2000-08-01 --to 2000-12-01`"
)
@asking(without=(*ONE, "as_of"))
def backtest(
    given: Given,
    first: First = None,
    last: Last = None,
    every: Every = 1,
    on: Days = [],  # noqa: B006 - Typer copies it
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Train on what was known on each of several days, and rank what really came next.

    The leave-one-out figure of the same models and users is shown beside it.
    """

    def run() -> list[str]:
        from flows.backtest import backtest as flow
        from flows.backtest import days_between

        days = [one.date() for one in on]
        if first and last:
            days += days_between(first.date(), last.date(), every)
        if not days:
            raise RefusedError("No day to look back from", to_do="Give --from and --to, or --on")
        return flow(days, **given)

    def show(snapshots: list[str]) -> None:
        from warehouse.database import statements
        from warehouse.home import Home
        from warehouse.questions import ask

        rows = ask(Home.at(home), statements("questions/backtest"), [snapshots, presets])
        title = "Each day's next items, and the held-out ones, at 10; preset "
        title += " and ".join(presets)
        console.show_rows(rows.to_dicts(), title, as_json=as_json)

    home = given["home"]
    presets = exit_on_error(lambda: asked_presets(given), home)
    snapshots = run_flow(run, home, wait=wait)
    exit_on_error(lambda: show(snapshots), home)
