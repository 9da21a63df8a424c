"""What a publication changes, from one catalogue to the next, brought into the lake at once."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from warehouse.database import quoted
from warehouse.errors import InUseError, RefusedError
from warehouse.lake.attached import LAKE
from warehouse.lake.tables import bring_up_to_date, wanted
from warehouse.stored import KEYS

CATALOGUE = "mart.catalogue"  # the number of the publication, and whose tables these are
NOW = "SELECT publication, version FROM {}.mart.catalogue"
NEVER = (0, "")
SMALL_ROWS = 100_000  # more than a publication changes of a small table
FILES = "SELECT table_name, id, path, sha256 FROM {}.mart.files"


def publish(
    lake: duckdb.DuckDBPyConnection,
    draft: Path,
    before: Path | None,
    files: str,
    sure: Callable[[], None],
) -> None:
    """Bring the lake from one catalogue to the next, in one transaction.

    Args:
        lake: attached, see `attached.py`.
        draft: the catalogue to publish.
        before: the one that it was made from, which the lake holds; None: the lake is empty.
        files: what paths in catalogues are relative to, as DuckLake finds it.
        sure: called right before the commit; raises when it must not be.

    Raises:
        InUseError: the lake has moved on.
        RefusedError: it is of a newer version, or holds other rows than it should.
    """
    with _attached(lake, draft, before):
        changed = list(_changed(lake, before is not None))
        is_made = now(lake) != NEVER
        lake.begin()
        try:
            here = now(lake) if is_made else NEVER
            _refuse_moved_on(here[0], now(lake, "before")[0] if before else 0)
            if here[1] != now(lake, "draft")[1]:
                bring_up_to_date(lake)
            inline(lake, SMALL_ROWS)
            for table in changed:
                _bring_rows(lake, table)
            inline(lake, 0)
            _bring_files(lake, files, before is not None)
            inline(lake, SMALL_ROWS)
            _bring_number(lake)
            sure()
            lake.commit()
        except BaseException:
            with suppress(duckdb.Error):
                lake.rollback()
            raise


@contextmanager
def _attached(lake: duckdb.DuckDBPyConnection, draft: Path, before: Path | None) -> Iterator[None]:
    named = {"draft": draft} | ({"before": before} if before else {})
    for name, path in named.items():
        lake.execute(f"ATTACH {quoted(str(path))} AS {name} (READ_ONLY)")
    try:
        yield
    finally:
        for name in named:
            with suppress(duckdb.Error):
                lake.execute(f"DETACH {name}")


def _changed(lake: duckdb.DuckDBPyConnection, is_before: bool) -> Iterator[str]:
    """Small tables of which rows come or go, each with the values that do in a table of its own.

    A value is a whole row. Of rows that stand there twice all go, and as many come as there are.
    """
    earlier = _columns(lake, "before") if is_before else {}
    same = _same_rows(lake, earlier)
    for table, columns in wanted().items():
        if table in KEYS or table == CATALOGUE or table in same:
            continue
        there_now = f"SELECT {_names(list(columns))} FROM draft.{table}"
        shown = (
            f'"{name}"' if name in earlier.get(table, ()) else f'NULL::{one.kind} AS "{name}"'
            for name, one in columns.items()
        )
        there_before = (
            f"SELECT {', '.join(shown)} FROM before.{table}"
            if table in earlier
            else f"{there_now} WHERE false"
        )
        values, gone = _temporary(table, "values"), _temporary(table, "gone")
        lake.execute(
            f"CREATE OR REPLACE TEMP TABLE {values} AS "
            f"(({there_before}) EXCEPT ALL ({there_now})) UNION "
            f"(({there_now}) EXCEPT ALL ({there_before}))"
        )
        if _count(lake, values):
            lake.execute(
                f"CREATE OR REPLACE TEMP TABLE {gone} AS FROM ({there_before}) AS o "
                f"SEMI JOIN {values} AS c ON {_same(list(columns), 'o', 'c')}"
            )
            yield table


def _same_rows(lake: duckdb.DuckDBPyConnection, earlier: Mapping[str, Collection[str]]) -> set[str]:
    """Small tables that have the same rows before and now: most, of any publication.

    By the number of rows and a sum of their hashes of 64 bits: to compare row by row takes ten
    times as long. DuckDB gives an empty list the hash of NULL, so what is NULL is hashed as well.
    """
    asked = []
    for table, columns in wanted().items():
        if table in KEYS or not columns.keys() <= set(earlier.get(table, ())):
            continue
        nulls = ", ".join(f'"{name}" IS NULL' for name in columns)
        row = f"({_names(list(columns))}, {nulls})"
        asked += [
            f"SELECT '{table}', count(*), sum(hash({row})) FROM {name}.{table}"
            for name in ("before", "draft")
        ]
    if not asked:
        return set()
    found: dict[str, set[tuple[object, ...]]] = {}
    for table, *sums in lake.execute(" UNION ALL ".join(asked)).fetchall():
        found.setdefault(table, set()).add(tuple(sums))
    return {table for table, sums in found.items() if len(sums) == 1}


def _bring_rows(lake: duckdb.DuckDBPyConnection, table: str) -> None:
    columns = list(wanted()[table])
    values, gone = _temporary(table, "values"), _temporary(table, "gone")
    if expected := _count(lake, gone):
        found = lake.execute(
            f"DELETE FROM {table} AS o WHERE EXISTS "
            f"(FROM {gone} AS c WHERE {_same(columns, 'o', 'c')})"
        ).fetchall()[0][0]
        if found != expected:
            raise RefusedError(
                f"{table} of the lake was changed by another hand",
                got=f"{found} of {expected} rows",
                to_do="Somebody who knows by whom must put it right: DuckLake's snapshots tell",
            )
    lake.execute(
        f"INSERT INTO {table} BY NAME SELECT {_names(columns)} FROM draft.{table} AS o "
        f"SEMI JOIN {values} AS c ON {_same(columns, 'o', 'c')}"
    )


def _bring_files(lake: duckdb.DuckDBPyConnection, files: str, is_before: bool) -> None:
    """Files that are listed no more go out of their tables, without being read; others come in."""
    now = set(lake.execute(FILES.format("draft")).fetchall())
    before = set(lake.execute(FILES.format("before")).fetchall()) if is_before else set()
    for table, identity, *_ in sorted(before - now):
        lake.execute(f"DELETE FROM {table} WHERE {KEYS[table]} = ?", [identity])
    for table, _, path, _ in sorted(now - before):
        schema, _, name = table.partition(".")
        lake.execute(
            f"CALL ducklake_add_data_files('lake', {quoted(name)}, {quoted(f'{files}/{path}')}, "
            f"schema => {quoted(schema)}, hive_partitioning => true, "
            "allow_missing => true, ignore_extra_columns => true)"
        ).fetchall()


def inline(lake: duckdb.DuckDBPyConnection, rows: int) -> None:
    """Let changes of so many rows stand in PostgreSQL; with 0, rows that go end their file."""
    lake.execute(f"SET ducklake_default_data_inlining_row_limit = {rows}")


def _bring_number(lake: duckdb.DuckDBPyConnection) -> None:
    number, version = now(lake, "draft")
    lake.execute(f"DELETE FROM {CATALOGUE}")
    # each home writes its own root into its own catalogue
    row = "SELECT ? AS publication, ? AS version, '' AS root"
    lake.execute(f"INSERT INTO {CATALOGUE} BY NAME {row}", [number, version])
    said = f"publication {number}"
    lake.execute("CALL lake.set_commit_message('fpt', ?)", [said]).fetchall()


def _refuse_moved_on(here: int, made_from: int) -> None:
    """Only what was made from the lake as it is may follow it."""
    if here != made_from:
        raise InUseError(
            "Somebody else published into the lake meanwhile",
            got=f"publication {here}",
            expected=str(made_from),
            to_do="Run the command again",
        )


def now(lake: duckdb.DuckDBPyConnection, database: str = LAKE) -> tuple[int, str]:
    """The number of the newest publication, and which code's tables these are."""
    try:
        rows = lake.execute(NOW.format(database)).fetchall()
    except duckdb.CatalogException:  # before the first
        return NEVER
    return rows[0] if rows else NEVER


def _columns(lake: duckdb.DuckDBPyConnection, database: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rows = lake.execute(
        "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = ?",
        [database],
    ).fetchall()
    for table, name in rows:
        found.setdefault(table, set()).add(name)
    return found


def _temporary(table: str, what: str) -> str:
    return f'temp."{table}_{what}"'


def _names(columns: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _same(columns: list[str], one: str, other: str) -> str:
    return " AND ".join(f'{one}."{n}" IS NOT DISTINCT FROM {other}."{n}"' for n in columns)


def _count(lake: duckdb.DuckDBPyConnection, name: str) -> int:
    return int(lake.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])
