"""Own data into staged tables: its ids numbered, what can't be taken aside."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warehouse.database import statements
from warehouse.described import rules_in
from warehouse.errors import RefusedError
from warehouse.identity import code_version
from warehouse.landed import Into, Origin
from warehouse.own_data.description import Description
from warehouse.own_data.reading import read_events, read_items
from warehouse.own_data.source_files import SourceFiles, source_files
from warehouse.raw_ids import MAX_ID
from warehouse.staging import stage_rows

_HERE = Path(__file__).parent
CODE_VERSION = code_version(
    [
        *_HERE.glob("*.py"),
        *(_HERE.parent / "sql" / "own_data").glob("*.sql"),
        *(_HERE.parent / "sql" / "own_landing").glob("*.sql"),
        *(_HERE.parent / f"{name}.py" for name in ("landing", "landed")),
    ]
)
EARLIEST = 0  # 1970: before it, times are most often in a wrong unit
TABLES = ("raw.items", "raw.users", "raw.rejects", "raw.user_keys", "raw.item_keys")


def sha256_of(description: Description, source: Path) -> str:
    """What the source is known by.

    Raises:
        RefusedError: it can't be read.
    """
    return source_files(description, source).sha256


def content(description: Description) -> dict[str, Any]:
    """A description as JSON can hold it; where the file of items lies is none of its content."""
    said = asdict(description)
    if description.items:
        said["items"]["file"] = description.items.file.name
    return said


@dataclass(frozen=True)
class OpenedFiles:
    """Own data that is ready to be landed."""

    description: Description
    files: SourceFiles

    @property
    def origin(self) -> Origin:
        """What is recorded of it."""
        described = json.dumps(content(self.description))
        name = self.files.source.name
        return Origin(name, self.files.sha256, True, rules_in(described), described)

    def land(self, into: Into) -> None:
        """Number the ids, stage the events by these numbers, and all else that was read.

        Raises:
            RefusedError: it can't be read as described; no event can be taken; it was changed
                meanwhile.
        """
        connection, description = into.connection, self.description
        into.tell(0, self.files.size)
        items = description.items.file.name if description.items else ""
        about = {"load_id": into.load_id, "events": self.files.source.name, "items": items}
        about_all = about | {"forgotten": list(into.forgotten)}
        connection.execute(statements("own_landing/about"), about_all)
        read_events(connection, description, self.files.source)
        if description.items:
            read_items(connection, description.items)
        else:
            connection.execute(statements("own_landing/no_items"))
        for script in ("known", "may_name"):
            connection.execute(statements(f"own_landing/{script}"))
        self._refuse_empty(into)
        connection.execute(statements("own_landing/numbers"))
        rows = statements(f"own_landing/{'events_finer' if self._is_finer(into) else 'events'}")
        stage_rows(connection, into.folder, "raw.ratings", into.load_id, rows)
        connection.execute(statements("own_landing/others"))
        into.stage(TABLES)
        self.files.refuse_changed()
        into.tell(self.files.size, self.files.size)

    def _is_finer(self, into: Into) -> bool:
        """Whether times are finer than seconds, so that the rows of one second have an order."""
        query = "SELECT count(*) FROM known_events WHERE nanosecond <> 0"
        return _number(into, query) > 0

    def _refuse_empty(self, into: Into) -> None:
        count = _number(into, "SELECT count(*) FROM known_events")
        if count > MAX_ID:
            raise RefusedError(
                f"{self.files.source} has too many rows", got=f"{count:,}", expected=f"{MAX_ID:,}"
            )
        if count:
            return
        query = "SELECT source_row, line, reason FROM own_events WHERE reason IS NOT NULL"
        row = into.connection.execute(f"{query} ORDER BY source_row LIMIT 1").fetchone()
        seen = f"0 rows; row {row[0]} is {row[1]}: {row[2]}" if row else "0 rows"
        raise RefusedError(
            f"{self.files.source} holds no event that can be taken",
            got=seen,
            to_do="Check the description; `fpt describe` shows what it sees",
        )


def opened(description: Description, source: Path) -> OpenedFiles:
    """Own data, its files hashed.

    Raises:
        RefusedError: a file can't be read.
    """
    return OpenedFiles(description, source_files(description, source))


def _number(into: Into, query: str) -> int:
    return int(into.connection.execute(query).fetchall()[0][0])
