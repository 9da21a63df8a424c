"""Commands that keep a home: backups, what an older version left, what nobody needs any more."""

from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.guard import guarded
from flows.options import DEFAULT_HOME, AsJson, Dataset, HomeDir

app = typer.Typer()


@app.command(epilog="`fpt backup /mnt/backups/monday.tar`")
def backup(
    output: Annotated[Path, typer.Argument(help="Tar file to write.")],
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Keep all that is published, with the trained weights, in one file; runs may go on."""

    def go() -> None:
        from warehouse.backup import backup as keep
        from warehouse.home import Home

        row = {"backup": str(output), **keep(Home.at(home), output)}
        console.show_rows([row], "Kept", as_json=as_json)

    guarded(go, home)


@app.command(epilog="`fpt restore /mnt/backups/monday.tar --home new-home`")
def restore(
    backup_file: Annotated[Path, typer.Argument(help="What `fpt backup` wrote.")],
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Bring a backup into an empty home, or into one whose catalogues are all damaged."""

    def go() -> None:
        from warehouse.backup import restore as bring
        from warehouse.home import Home

        row = {"home": str(home), **bring(Home.at(home), backup_file)}
        console.show_rows([row], "Restored", as_json=as_json)

    guarded(go, home)


@app.command(epilog="`fpt upgrade --home .fpt`")
def upgrade(home: HomeDir = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Bring a home of the version with one `warehouse.duckdb` up to date; nothing is lost.

    Its trainings stay in all tables. The next `fpt run` trains anew all the same, because the
    code that reads archives and that of the models are not what they were.
    """

    def go() -> None:
        from warehouse.home import Home
        from warehouse.upgrade import upgrade as bring

        rows = [{"table": name, "rows": n} for name, n in bring(Home.at(home)).items()]
        console.show_rows(rows, "Brought up to date", as_json=as_json)

    guarded(go, home)


@app.command(epilog="`fpt forget --dataset ml-1m --user 7`")
def forget(
    dataset: Dataset,
    user: Annotated[int, typer.Option(min=1, help="The user's number in the archive.")],
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take one person's data out of everything published, and out of every later load.

    What was made from it goes at once: loads, snapshots, trainings, ranks, recommendations. It
    then tells what must be trained again. The archive itself, backups and exported folders are
    yours to see to.
    """

    def go() -> None:
        from warehouse.forgetting import forget as leave_out
        from warehouse.home import Home
        from warehouse.visible import counted

        gone = leave_out(Home.at(home), dataset, user)
        counts = {"load": gone.loads, "snapshot": gone.snapshots, "training": gone.runs}
        rows: list[dict[str, object]] = [
            {"what": counted(len(ids), what), "state": "gone", "command": None}
            for what, ids in counts.items()
        ]
        rows += [{"what": "to train again", "state": "to do", "command": c} for c in gone.again]
        console.show_rows(rows, f"User {user} of {dataset} is forgotten", as_json=as_json)

    guarded(go, home)
