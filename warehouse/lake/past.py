"""The lake's past, and how it ends: in DuckLake's snapshots, in its folder, and in PostgreSQL.

DuckLake forgets snapshots and deletes files that none of them has any more. It never deletes rows
that stood in PostgreSQL, nor narrows the least and greatest values that it keeps of each column.
Both would outlive a person who asked to be forgotten, so they are put right here, in its own
tables: https://ducklake.select/docs/stable/specification/introduction
"""

import time
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from warehouse.errors import InUseError, NotOwnerError
from warehouse.faults import point
from warehouse.lake import objects, server
from warehouse.lake.address import Address
from warehouse.lake.attached import attached, let_go
from warehouse.lake.changes import SMALL_ROWS, inline
from warehouse.lake.tables import wanted
from warehouse.stored import KEYS

LOCK_SECONDS = 10  # for readers who have the lake open as it was
NARROWED = ("varchar", "json", "int64", "int32")  # types of columns that people are known by
CLEAN = "CALL ducklake_cleanup_old_files('lake', cleanup_all => true)"


def expire(address: Address, days: int, listed: Collection[str]) -> None:
    """Forget what is older than so many days, with what is of then alone.

    Args:
        address: of the lake.
        days: so many.
        listed: paths of files that are published; DuckLake does not know those without rows.
    """
    with attached(address) as lake:
        older = f"older_than => now() - INTERVAL '{days} days'"
        lake.execute(f"CALL ducklake_expire_snapshots('lake', {older})").fetchall()
        lake.execute(CLEAN).fetchall()
    with server.asking(address) as postgres:
        _drop_ended(postgres, address)
    if address.is_remote:
        objects.drop_strays(address, [*server.data_files(address), *listed])


def drop_files(address: Address) -> None:
    """Forget all but the last snapshot, with the files that are of others alone.

    The caller has the turn. Readers who have the lake open as it was find files gone.
    """
    point("before the lake's past goes")
    *past, _ = server.snapshots(address)
    with attached(address) as lake:
        if past:
            lake.execute(f"CALL ducklake_expire_snapshots('lake', versions => {past})").fetchall()
        lake.execute(CLEAN).fetchall()


def drop(address: Address) -> None:
    """`drop_files`, and nothing of a row that was deleted by then is left in PostgreSQL either.

    Raises:
        InUseError: such a reader keeps PostgreSQL's rows from going; all else is done.
        NotOwnerError: another user's tables are in the lake.
    """
    with attached(address) as lake:
        for table in _small_with_files(address):
            _write_anew(lake, table)
    drop_files(address)
    with attached(address) as lake:
        narrow = list(_narrower(lake, address))
    let_go()  # what this process has read of them may be as wide as before
    point("before rows of PostgreSQL go")
    with server.asking(address) as postgres:
        for change, values in narrow:
            postgres.execute(change, values)
        _drop_ended(postgres, address)
        _vacuum(postgres, address)


def _small_with_files(address: Address) -> list[str]:
    """Small tables that more was written into at once than stands in PostgreSQL."""
    rows = server.of_lake(
        address,
        "SELECT DISTINCT schema_name || '.' || table_name "
        f"FROM {_in(address, 'ducklake_table')} AS t "
        f"JOIN {_in(address, 'ducklake_schema')} AS s USING (schema_id) "
        f"JOIN {_in(address, 'ducklake_data_file')} AS f USING (table_id) WHERE "
        "coalesce(t.end_snapshot, s.end_snapshot, f.end_snapshot) IS NULL",
    )
    return sorted(name for (name,) in rows if name in wanted().keys() - KEYS.keys())


def _write_anew(lake: duckdb.DuckDBPyConnection, table: str) -> None:
    """Rows that are deleted stay in a file, beside a note of their numbers."""
    lake.begin()
    lake.execute(f"CREATE OR REPLACE TEMP TABLE anew AS FROM (FROM {table})")
    inline(lake, 0)
    lake.execute(f"DELETE FROM {table}")
    inline(lake, SMALL_ROWS)
    lake.execute(f"INSERT INTO {table} BY NAME FROM temp.anew")
    lake.execute("DROP TABLE temp.anew")
    lake.commit()


def _narrower(lake: duckdb.DuckDBPyConnection, address: Address) -> Iterator[tuple[str, list[Any]]]:
    """Statements for PostgreSQL: of each column the least and greatest value that is there now."""
    columns = server.of_lake(
        address,
        "SELECT schema_name || '.' || table_name, table_id, column_id, column_name "
        f"FROM {_in(address, 'ducklake_table')} AS t "
        f"JOIN {_in(address, 'ducklake_schema')} AS s USING (schema_id) "
        f"JOIN {_in(address, 'ducklake_column')} AS c USING (table_id) "
        f"JOIN {_in(address, 'ducklake_table_column_stats')} AS w USING (table_id, column_id) "
        "WHERE coalesce(t.end_snapshot, s.end_snapshot, c.end_snapshot) IS NULL "
        f"AND parent_column IS NULL AND min_value IS NOT NULL AND column_type IN {NARROWED} "
        "ORDER BY 1, 3",
    )
    for table in dict.fromkeys(name for name, *_ in columns):
        ours = [(key, column, named) for name, key, column, named in columns if name == table]
        asked = ", ".join(f'min("{n}")::VARCHAR, max("{n}")::VARCHAR' for _, _, n in ours)
        found = lake.execute(f"SELECT {asked} FROM (FROM {table})").fetchall()[0]
        for place, (key, column, _) in enumerate(ours):
            yield (
                f"UPDATE {_in(address, 'ducklake_table_column_stats')} "
                "SET min_value = %s, max_value = %s WHERE table_id = %s AND column_id = %s",
                [*found[2 * place : 2 * place + 2], key, column],
            )


def _drop_ended(postgres: Any, address: Address) -> None:
    """Delete rows of PostgreSQL's that no snapshot has any more."""
    oldest = f"(SELECT min(snapshot_id) FROM {_in(address, 'ducklake_snapshot')})"
    for table in _inlined(postgres, address):
        postgres.execute(f"DELETE FROM {table} WHERE end_snapshot <= {oldest}")


def _vacuum(postgres: Any, address: Address) -> None:
    """Write tables anew, so that not even PostgreSQL's free places hold what was deleted."""
    _wait_for_older(postgres)
    told: list[str] = []
    postgres.add_notice_handler(lambda said: told.append(said.message_primary))
    postgres.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    stats = (f"ducklake_{name}_column_stats" for name in ("table", "file"))
    for table in (*_inlined(postgres, address), *(_in(address, name) for name in stats)):
        try:
            postgres.execute(f"VACUUM (FULL, ANALYZE) {table}")
        except server.library().errors.LockNotAvailable:
            raise _open_as_it_was(f"{table} is in use") from None
    if told:
        raise NotOwnerError(
            "PostgreSQL keeps what was deleted",
            got="; ".join(told),
            to_do="Let the user whose tables these are run the command again",
        )


def _wait_for_older(postgres: Any) -> None:
    """Wait until nobody in the database sees what was deleted: a vacuum would keep it for them.

    It says nothing then, and whoever asks must not be told that all is gone.

    Raises:
        InUseError: somebody goes on looking at the database as it was.
    """
    ((now,),) = postgres.execute("SELECT txid_current() % (1::bigint << 32)")
    older = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND age(backend_xmin) > age(%s::text::xid) ORDER BY 1"
    )
    end = time.monotonic() + LOCK_SECONDS
    while pids := [pid for (pid,) in postgres.execute(older, [str(now)]).fetchall()]:
        if time.monotonic() > end:
            raise _open_as_it_was(f"PostgreSQL's process {', '.join(map(str, pids))}")
        time.sleep(0.1)


def _open_as_it_was(who: str) -> InUseError:
    return InUseError(
        "Somebody has the lake open as it was, so that rows stay in PostgreSQL",
        got=who,
        to_do="Run the command again when they have ended",
    )


def _inlined(postgres: Any, address: Address) -> list[str]:
    query = f"SELECT table_name FROM {_in(address, 'ducklake_inlined_data_tables')} ORDER BY 1"
    return [_in(address, name) for (name,) in postgres.execute(query).fetchall()]


def _in(address: Address, table: str) -> str:
    return f'"{address.schema}"."{table}"'
