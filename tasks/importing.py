"""Scores of somebody else's model: read, ranked, said, published."""

from pathlib import Path

from prefect import task

from tasks.progress import note, warn
from warehouse import imports
from warehouse.home import Home
from warehouse.importing import ranking
from warehouse.importing.kinds import WORDS
from warehouse.importing.ranking import Asked, Imported
from warehouse.records import Snapshot
from warehouse.visible import counted

MUST = (
    "no held-out item of test was in its training, nor one of validation in what is ranked on "
    "validation; and its settings were chosen on validation"
)


@task(task_run_name="rank {asked.name} by {asked.path.name}")
def rank(home: Home, snapshot: Snapshot, asked: Asked, file_sha256: str, folder: Path) -> Imported:
    """Read the file, rank by it, stage the ranks; say what it is and what was left out."""
    imported = ranking.rank_file(home, snapshot, asked, file_sha256, folder)
    note(_described(imported, said=asked.kind is not None))
    if imported.n_left_out:
        rows = counted(imported.n_left_out, "row")
        note(f"{rows} of users or items that the snapshot is without: left out")
    if imported.n_seen:
        seen = counted(imported.n_seen, "row")
        shorter = ", so those lists are shorter" if imported.kind == "top" else ""
        note(f"{seen} of items that the user had before: left out{shorter}")
    if imported.n_without:
        warn(f"{counted(imported.n_without, 'user')} without a list: misses at every place")
    if imported.known_to is not None:
        note(_limit(imported.known_to))
    _tell_promise(imported)
    return imported


@task(task_run_name="publish imported ranks of {imported.name}")
def publish_import(home: Home, imported: Imported, folder: Path) -> None:
    """The ranks enter `mart`, with their figures; says whose place they take."""
    for run_id, splits in imports.replaced_by(home, imported):
        counted_splits = "split" if len(splits) == 1 else "splits"
        note(f"takes the place of {run_id} ({counted_splits} {', '.join(splits)})")
    imports.publish_import(home, imported, folder)


def _described(imported: Imported, *, said: bool) -> str:
    by = "as was said" if said else "as the file tells"
    splits = " and ".join(imported.splits)
    rows, users = counted(imported.n_rows, "row"), counted(imported.n_users, "held-out item")
    return f"{imported.file}: {WORDS[imported.kind]} ({by}), {rows}, {users} of {splits}"


def _limit(known_to: int) -> str:
    return (
        f"ranks are known up to place {known_to}: metrics at k are known where the list reaches k; "
        "the rank of a miss, and MRR over all ranks, are not"
    )


def _tell_promise(imported: Imported) -> None:
    if imported.trained_on is None and imported.promise is None:
        to_do = "say so by --trained-on or --promise; until then it is marked training-unknown"
        warn(f"its owner must promise that {MUST}: {to_do}")
    else:
        words = [f"trained on {imported.trained_on}"] if imported.trained_on else []
        words += [imported.promise] if imported.promise else []
        note(f"kept as its owner's promise: {'; '.join(words)}")
