"""Commands that keep a home: backups, what an older version left, what nobody needs any more."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import console
from flows.guard import exit_on_error
from flows.options import DEFAULT_HOME, AsJson, Dataset, HomeDir

if TYPE_CHECKING:
    from warehouse.errors import RefusedError
    from warehouse.expiry import Thing
    from warehouse.home import Home
    from warehouse.raw_ids import User

app = typer.Typer()
DAYS = {"d": 1, "w": 7, "y": 365}


def _age(text: str) -> timedelta:
    """How long ago, in days, weeks or years.

    >>> _age("90d"), _age("2w")
    (datetime.timedelta(days=90), datetime.timedelta(days=14))
    """
    found = re.fullmatch(r"(\d{1,5})([dwy])", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no age such as 90d, 12w or 2y")
    return timedelta(days=int(found[1]) * DAYS[found[2]])


@app.command(epilog="`fpt backup /mnt/backups/monday.tar`")
def backup(
    output: Annotated[Path, typer.Argument(help="Tar file to write.")],
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write all that is published, with the trained weights, into one file. Runs may go on."""

    def go() -> None:
        from warehouse.backup import backup as keep
        from warehouse.home import Home

        row = {"backup": str(output), **keep(Home.at(home), output)}
        console.show_rows([row], "Kept", as_json=as_json)

    exit_on_error(go, home)


@app.command(epilog="`fpt restore /mnt/backups/monday.tar --home new-home`")
def restore(
    backup_file: Annotated[Path, typer.Argument(help="Tar file that `fpt backup` wrote.")],
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty home, or into one whose catalogues are all damaged."""

    def go() -> None:
        from warehouse.backup import restore as bring
        from warehouse.home import Home

        row = {"home": str(home), **bring(Home.at(home), backup_file)}
        console.show_rows([row], "Restored", as_json=as_json)

    exit_on_error(go, home)


@app.command(epilog="`fpt upgrade --home .fpt`")
def upgrade(home: HomeDir = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Convert a home of the version that had one `warehouse.duckdb`. Nothing is lost.

    Its trainings stay in all tables. The next `fpt run` trains again all the same, because the
    code has changed since.
    """

    def go() -> None:
        from warehouse.home import Home
        from warehouse.upgrade import upgrade as bring

        rows = [{"table": name, "rows": n} for name, n in bring(Home.at(home)).items()]
        console.show_rows(rows, "Brought up to date", as_json=as_json)

    exit_on_error(go, home)


@app.command(epilog="`fpt forget --dataset ml-1m --user 7`")
def forget(
    dataset: Dataset,
    user: Annotated[
        str, typer.Option(help="The user's number in the archive, or id in your own data.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="For your own data: you still have the source; don't ask.")
    ] = False,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Remove one person's data from everything published, and from every later load.

    Everything that was made from it goes at once: loads with the rows of others, snapshots,
    trainings, ranks, recommendations. The command then prints how to make them again from the
    source. The source, backups and exported folders are not touched: see to these yourself.
    """

    def go() -> None:
        from warehouse.forgetting import forget as leave_out
        from warehouse.home import Home
        from warehouse.known import is_own
        from warehouse.raw_ids import user_of
        from warehouse.visible import counted

        own = is_own(dataset)
        who = user_of(user, own=own)
        if own and not yes:
            _refuse_unsourced(Home.at(home), dataset, who, ask=not as_json)
        gone = leave_out(Home.at(home), dataset, who)
        counts = {"load": gone.loads, "snapshot": gone.snapshots, "training": gone.runs}
        counts |= {"import": gone.imports} if gone.imports else {}
        rows: list[dict[str, object]] = [
            {"what": counted(len(ids), what), "state": "gone", "command": None}
            for what, ids in counts.items()
        ]
        rows += [{"what": "to make again", "state": "to do", "command": c} for c in gone.again]
        console.show_rows(rows, f"User {user} of {dataset} is forgotten", as_json=as_json)

    exit_on_error(go, home)


def _refuse_unsourced(home: "Home", dataset: str, user: "User", *, ask: bool) -> None:
    """Own data is nowhere else: whoever has lost its source would lose everybody's rows."""
    from warehouse.errors import RefusedError
    from warehouse.forgetting import at_stake
    from warehouse.visible import counted

    stake = at_stake(home, dataset, user)
    if not stake.sources:  # an unknown user, or one that is forgotten already
        return
    source = ", ".join(stake.sources)
    also = f"the rows of {counted(stake.others, 'other user')} go too"
    unasked = RefusedError(
        f"With this person's data {also}, and come again from the source alone",
        got=source,
        to_do="If you have it, say so by --yes. Nothing was changed",
    )
    _ask(f"{also.capitalize()}, until {source} is run again. Go on?", unasked, ask=ask)


def _ask(question: str, unasked: "RefusedError", *, ask: bool) -> None:
    """Go on after a yes alone; who can't be asked is refused."""
    if not (ask and sys.stdin.isatty()):
        raise unasked
    if not typer.confirm(question, err=True):
        raise typer.Exit(0)


@app.command(epilog="`fpt prune --keep 3 --dry-run`, `fpt prune --older-than 90d --keep 1 --yes`")
def prune(
    keep: Annotated[
        int | None,
        typer.Option(min=0, help="How many of the newest to keep. Default with --older-than: 1."),
    ] = None,
    older_than: Annotated[
        Any,
        typer.Option(
            parser=_age,
            metavar="AGE",
            help="Remove only what is older than this, such as 90d, 12w or 2y.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    at_once: Annotated[
        bool,
        typer.Option("--at-once", help="Delete all files now, even if readers have them open."),
    ] = False,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Remove loads, snapshots and trainings that newer ones have replaced, with their figures.

    It compares loads of one data set, snapshots of one data set and retention (and day), and
    trainings of one model, preset and seed on such data. The newest of each stay, and so does all
    that they were made from. Archives in `sources/` stay, so `fpt run` can make the rest again.
    Files of tables are deleted a day later, when no reader can have them open.
    """

    def go() -> None:
        from warehouse.expiry import Rule
        from warehouse.home import Home
        from warehouse.pruning import clear_up, would_go
        from warehouse.pruning import prune as remove

        place, rule = Home.existing(home), Rule(_kept(keep, older_than), older_than)
        if not dry_run:
            clear_up(place)
        found = would_go(place, rule)
        if dry_run or not as_json:
            _show_pruned(found, "Would go" if dry_run else "To go", as_json=as_json)
        if dry_run or not (found or as_json):
            return
        _refuse_unsure(found, yes=yes, ask=not as_json)
        gone = remove(place, rule, found, at_once=at_once)
        if as_json:
            _show_pruned(gone, "Gone", as_json=True)
        else:
            console.err.print(f"Gone: {_summed(gone)}")

    exit_on_error(go, home)


def _kept(keep: int | None, older_than: timedelta | None) -> int:
    from warehouse.errors import RefusedError

    if keep is None and older_than is None:
        raise RefusedError(
            "What to prune is not said",
            to_do="Give `--keep 3`, `--older-than 90d` or both; `--dry-run` shows what would go",
        )
    return 1 if keep is None else keep


def _refuse_unsure(found: "list[Thing]", *, yes: bool, ask: bool) -> None:
    from warehouse.errors import RefusedError

    if yes or not found:
        return
    unasked = RefusedError(
        "Nobody is there to say yes", to_do="Give --yes, or look first with --dry-run"
    )
    _ask(f"Remove {_summed(found)}?", unasked, ask=ask)


def _show_pruned(found: "list[Thing]", title: str, *, as_json: bool) -> None:
    rows = [
        {
            "what": one.kind,
            "id": one.id,
            "of": one.label,
            "made_at": f"{one.made_at:%Y-%m-%d %H:%M}",
            "bytes": one.bytes,
        }
        for one in found
    ]
    if rows or as_json:
        console.show_rows(rows, title, as_json=as_json)
    if not as_json:
        console.err.print(f"{title}: {_summed(found)}" if rows else "Nothing to prune.")


def _summed(found: "list[Thing]") -> str:
    """How many of each kind, and their bytes."""
    kinds = ("training", "import", "snapshot", "load")
    counts = {kind: sum(one.kind == kind for one in found) for kind in kinds}
    named = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items() if n]
    return f"{', '.join(named) or 'nothing'}, {sum(one.bytes for one in found):,} bytes"
