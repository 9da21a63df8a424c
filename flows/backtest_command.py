"""`fpt backtest`: how would each variant have done on what really came next?"""

from datetime import datetime
from typing import Annotated

import typer

from flows import console
from flows.guard import guarded, working
from flows.options import (
    DEFAULT_HOME,
    Accept,
    AsJson,
    Dataset,
    DeviceName,
    HomeDir,
    MaxRejects,
    Models,
    PresetName,
    Retain,
    SeedCount,
    Source,
)
from flows.parameters import HEADLINE
from warehouse.errors import RefusedError

app = typer.Typer()
FORMATS = ["%Y-%m-%d"]
First = Annotated[datetime | None, typer.Option("--from", formats=FORMATS, help="First day.")]
Last = Annotated[datetime | None, typer.Option("--to", formats=FORMATS, help="Last day.")]
Every = Annotated[int, typer.Option("--every", min=1, help="Months from one day to the next.")]
Days = Annotated[
    list[datetime], typer.Option("--on", formats=FORMATS, help="A day; repeatable; in place of.")
]


@app.command(
    epilog="`fpt backtest --dataset ml-1m --source ml-1m.zip --from 2000-08-01 --to 2000-12-01`"
)
def backtest(
    dataset: Dataset = "synthetic",
    source: Source = None,
    first: First = None,
    last: Last = None,
    every: Every = 1,
    on: Days = [],  # noqa: B006 - Typer copies it
    retention: Retain = "5-core",
    models: Models = list(HEADLINE),  # noqa: B006
    preset: PresetName = "quick",
    seeds: SeedCount = 1,
    device: DeviceName = "auto",
    max_rejects: MaxRejects = 0,
    accept: Accept = [],  # noqa: B006
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Train on what was known on each of several days, and rank what really came next.

    Beside it stands the leave-one-out figure of the same weights and users.
    """

    def run() -> list[str]:
        from flows.backtest import backtest as flow
        from flows.backtest import days_between

        days = [one.date() for one in on]
        if first and last:
            days += days_between(first.date(), last.date(), every)
        if not days:
            raise RefusedError("No day to look back from", to_do="Give --from and --to, or --on")
        asked = (dataset, source, retention, models, preset, seeds, device, max_rejects, home)
        return flow(days, *asked, accept)

    def show(snapshots: list[str]) -> None:
        from warehouse.database import statements
        from warehouse.home import Home
        from warehouse.questions import ask

        rows = ask(Home.at(home), statements("questions/backtest"), [snapshots, preset])
        title = f"Each day's next items, and the held-out ones, at 10; preset {preset}"
        console.show_rows(rows.to_dicts(), title, as_json=as_json)

    snapshots = working(run, home)
    guarded(lambda: show(snapshots), home)
