"""DuckDB for Great Expectations: a SQLAlchemy dialect whose cursor holds its rows.

Great Expectations closes a connection before it fetches from it, and with duckdb-engine the
cursor *is* the connection: every metric then fails with "list index out of range". Here the
cursor fetches all rows in `execute`, so they outlive the connection. Results of checks are
small; nothing else should be read through this dialect.

Address: `duckdb+buffered:///path/to/file.duckdb`.
"""

from collections.abc import Iterator
from typing import Any

import duckdb
from duckdb_engine import ConnectionWrapper, CursorWrapper, Dialect
from sqlalchemy import Connection
from sqlalchemy.dialects import registry
from sqlalchemy.types import NULLTYPE

DRIVER = "buffered"
ADDRESS = f"duckdb+{DRIVER}:///"


class BufferedCursor(CursorWrapper):  # type: ignore[misc]
    """A cursor that serves rows and description from memory."""

    description: Any = None
    rowcount = -1

    def __init__(self, connection: duckdb.DuckDBPyConnection, wrapper: ConnectionWrapper) -> None:
        super().__init__(connection, wrapper)
        self._duckdb = connection
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def execute(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        """Run a statement and fetch all it returns."""
        super().execute(statement, parameters, context)
        columns = self._duckdb.description
        # Names and types as text: DuckDB's own type objects, kept past the interpreter's end by
        # someone's cache, make it complain of leaks on stderr.
        self.description = columns and [
            (str(name), str(kind), *rest) for name, kind, *rest in columns
        ]
        self._rows = iter(self._duckdb.fetchall() if columns else ())

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None past the last."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next `size` rows (1 by default), fewer at the end."""
        return [row for _, row in zip(range(size or 1), self._rows, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that were not served yet."""
        return list(self._rows)


class BufferedConnection(ConnectionWrapper):  # type: ignore[misc]
    """A connection that hands out buffered cursors."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(connection)
        self.duckdb = connection

    def cursor(self) -> BufferedCursor:
        """A cursor on this connection."""
        return BufferedCursor(self.duckdb, self)


class BufferedDialect(Dialect):  # type: ignore[misc]
    """duckdb-engine's dialect with buffered cursors."""

    driver = DRIVER
    supports_statement_cache = False

    def connect(self, *arguments: Any, **parameters: Any) -> BufferedConnection:
        """Open a DuckDB file."""
        wrapper = super().connect(*arguments, **parameters)
        return BufferedConnection(wrapper._ConnectionWrapper__c)

    def has_table(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> bool:
        """Whether there is such a table or view."""
        return bool(self.get_columns(connection, table_name, schema))

    def get_pk_constraint(self, *_: Any, **__: Any) -> dict[str, Any]:
        """None: Great Expectations asks it of every table, but nothing here rests on the answer."""
        return {"constrained_columns": [], "name": None}

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Names of the columns; the types are audited in SQL, as DuckDB spells them.

        The Postgres catalogue that duckdb-engine asks instead takes 30 ms a table.
        """
        query = (
            "SELECT column_name, is_nullable FROM duckdb_columns() "
            "WHERE table_name = ? AND schema_name = ? ORDER BY column_index"
        )
        rows = connection.exec_driver_sql(query, (table_name, schema or "main"))
        return [
            {"name": name, "type": NULLTYPE, "nullable": nullable, "default": None}
            for name, nullable in rows
        ]


registry.register(f"duckdb.{DRIVER}", __name__, BufferedDialect.__name__)
