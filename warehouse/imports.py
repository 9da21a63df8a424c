"""Models of somebody else, of which scores were imported: what is published of them."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from warehouse.catalogue import reading, writing
from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.importing.ranking import Imported
from warehouse.ranks import core_files
from warehouse.run_figures import add_figures
from warehouse.staging import auditable, audited
from warehouse.store import has_files, list_files, place_all

LONGEST_NAME = 40
_COLUMNS = (
    "run_id", "snapshot_id", "name", "kind", "known_to", "trained_on", "promise", "file",
    "file_sha256", "n_rows", "n_users", "n_without", "n_seen", "n_left_out",
)  # fmt: skip


def refuse_name(name: str, taken: Collection[str]) -> None:
    """Refuse a name under which a model could be taken for one of ours.

    Args:
        name: of the imported model.
        taken: names and slugs of ours.

    Raises:
        RefusedError: it is one of them, or no name.
    """
    if not re.fullmatch(rf"[^\W_][\w .+^()-]{{0,{LONGEST_NAME - 1}}}", name):
        raise RefusedError(
            "This is no name for a model",
            got=repr(name),
            expected=f"a letter or digit first, {LONGEST_NAME} at most, blanks and _ . + - ^ ( )",
        )
    if name.casefold() in {one.casefold() for one in taken}:
        raise RefusedError(
            "One of our own models has this name",
            got=name,
            to_do="Give another one, such as its own with a word more",
        )


def counts_already(home: Home, run_id: str) -> bool:
    """Whether these very scores are published, whole, and no later ones under their name."""
    query = "SELECT count(*) FROM mart.latest_imports WHERE run_id = ?"
    with reading(home) as connection:
        found = connection.execute(query, [run_id]).fetchall()[0][0]
        return bool(found) and has_files(connection, ["mart.user_ranks"], run_id)


def stage_beside(home: Home, imported: Imported, folder: Path) -> Path:
    """The database that an audit reads: the staged ranks beside the snapshot's tables."""
    with auditable(folder, core_files(home, imported.snapshot_id)):
        return audited(folder)


def publish_import(home: Home, imported: Imported, folder: Path) -> None:
    """Take staged ranks into `mart`, with their figures; the same again replaces."""
    files = place_all(home, folder)
    row = [getattr(imported, name) for name in _COLUMNS]
    with writing(home) as connection:
        now = datetime.now(UTC).replace(tzinfo=None)
        connection.execute(statements("publish/import"), [*row, now])
        list_files(connection, home, files)
        add_figures(connection, [imported.run_id])
