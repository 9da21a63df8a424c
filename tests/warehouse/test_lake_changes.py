"""Which small tables a publication changes: the next catalogue beside the one it was made from."""

from collections.abc import Iterator

import duckdb
import pytest

from warehouse.catalogue_tables import connected_to_new
from warehouse.home import Home
from warehouse.lake.changes import CATALOGUE, _changed, _same_rows
from warehouse.lake.tables import wanted
from warehouse.stored import KEYS

EPOCHS = wanted()["mart.epochs"]
SMALL = [name for name in wanted() if name not in KEYS and name != CATALOGUE]
TEXTS = {
    "TIMESTAMP": "'2026-01-0{}'",
    "DATE": "'2026-01-0{}'",
    "BOOLEAN": "{} = 3",
    "JSON": "'[{}]'",
    "VARCHAR[]": "['{}']",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two catalogues, in which each small table has the same two rows; the draft can be changed."""
    folder = tmp_path_factory.mktemp("changes")
    for name in ("before", "draft"):
        with connected_to_new(folder / f"{name}.duckdb", Home(folder)) as connection:
            for table in SMALL:
                connection.execute(f"DELETE FROM {table}")
                for number in (1, 2):
                    connection.execute(f"INSERT INTO {table} SELECT {row(table, number)}")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{folder}/before.duckdb' AS before (READ_ONLY)")
        connection.execute(f"ATTACH '{folder}/draft.duckdb' AS draft")
        yield connection


def value(kind: str, number: int) -> str:
    """A value of a column; the second list is not known."""
    if kind.endswith("[]") and number == 2:
        return f"NULL::{kind}"
    return f"({TEXTS.get(kind, '{}').format(number)})::{kind}"


def row(table: str, number: int) -> str:
    return ", ".join(value(column.kind, number) for column in wanted()[table].values())


def changed_by(lake: duckdb.DuckDBPyConnection, statement: str) -> list[str]:
    """The tables that a statement changes, which is then undone."""
    lake.begin()
    lake.execute(statement)
    found = list(_changed(lake, True))
    lake.rollback()
    return found


def test_what_is_the_same_is_known_to_be_so(lake):
    assert list(_changed(lake, True)) == []
    earlier = {table: set(columns) for table, columns in wanted().items()}
    assert _same_rows(lake, earlier) >= set(SMALL)


def test_what_was_not_there_before_is_looked_through(lake):
    lacking = {table: set(columns) for table, columns in wanted().items()}
    lacking.pop("raw.loads")
    lacking["mart.epochs"].pop()
    assert _same_rows(lake, lacking) >= set(SMALL) - {"raw.loads", "mart.epochs"}
    assert not _same_rows(lake, lacking) & {"raw.loads", "mart.epochs"}


@pytest.mark.parametrize("table", SMALL)
def test_one_row_or_value_that_changes_is_seen(lake, table):
    assert changed_by(lake, f"INSERT INTO draft.{table} SELECT {row(table, 3)}") == [table]
    assert changed_by(lake, f"DELETE FROM draft.{table} WHERE rowid = 1") == [table]
    earlier = {table: wanted()[table]}
    for name, column in wanted()[table].items():
        lake.begin()
        assert _same_rows(lake, earlier) == {table}
        lake.execute(f"UPDATE draft.{table} SET {name} = {value(column.kind, 3)} WHERE rowid = 0")
        assert _same_rows(lake, earlier) == set(), name
        lake.rollback()


def test_an_empty_list_in_place_of_nothing_is_seen(lake):
    """DuckDB gives both the same hash."""
    statement = "UPDATE draft.mart.imports SET splits = [] WHERE splits IS NULL"
    assert changed_by(lake, statement) == ["mart.imports"]


def test_as_many_rows_with_one_twice_in_place_of_another_are_seen(lake):
    columns = ", ".join(f'"{name}" = {value(one.kind, 2)}' for name, one in EPOCHS.items())
    assert changed_by(lake, f"UPDATE draft.mart.epochs SET {columns}") == ["mart.epochs"]
