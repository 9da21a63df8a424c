"""`fpt backtest`: how would each variant have done on what really came next?"""

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

import typer

from flows import console
from flows.guard import exit_on_error, run_flow
from flows.options import ONE, AsJson, Given, Wait, asking
from flows.refusing import asked_presets
from warehouse.errors import RefusedError

app = typer.Typer()
MONTHS = 12
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
    days = exit_on_error(lambda: _days(first, last, every, on), home)
    snapshots = run_flow("flows.backtest:backtest", {"days": days, **given}, wait=wait)
    exit_on_error(lambda: show(snapshots), home)


def _days(
    first: datetime | None, last: datetime | None, every: int, on: Sequence[datetime]
) -> list[date]:
    days = [one.date() for one in on]
    if first and last:
        days += days_between(first.date(), last.date(), every)
    if not days:
        raise RefusedError("No day to look back from", to_do="Give --from and --to, or --on")
    return days


def days_between(first: date, last: date, months: int) -> list[date]:
    """Days `months` apart from `first` to `last`, both included where they fit.

    The day of the month is that of `first`, or the month's last where it has fewer.

    >>> [str(day) for day in days_between(date(2000, 10, 31), date(2001, 3, 1), 2)]
    ['2000-10-31', '2000-12-31', '2001-02-28']

    Raises:
        RefusedError: there is none, or months are not positive.
    """
    if months < 1 or first > last:
        raise RefusedError(
            "No day to look back from",
            got=f"from {first} to {last}, every {months} months",
            expected="a first day that is not after the last, and a positive step",
        )
    found: list[date] = []
    while (day := _later(first, len(found) * months)) <= last:
        found.append(day)
    return found


def _later(first: date, months: int) -> date:
    years, month = divmod(first.month - 1 + months, MONTHS)
    year, month = first.year + years, month + 1
    return date(year, month, min(first.day, monthrange(year, month)[1]))
