"""A new home is a copy of what the statements make once; nothing tells the two apart."""

import tempfile

import duckdb
import pytest

from warehouse import following
from warehouse.catalogue import newest, opened, writing
from warehouse.catalogue_tables import create_schema, is_current
from warehouse.database import connected
from warehouse.home import Home
from warehouse.template import write_new

LOOKS = (
    "SELECT schema_name, table_name, comment, sql FROM duckdb_tables() ORDER BY ALL",
    "SELECT schema_name, view_name, comment, sql FROM duckdb_views() WHERE NOT internal"
    " ORDER BY ALL",
    "SELECT schema_name, table_name, column_index, column_name, data_type, column_default, comment"
    " FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
    "SELECT * EXCLUDE (root) FROM mart.catalogue",
    "FROM mart.figures_version",
)


def look(connection: duckdb.DuckDBPyConnection) -> list[list[tuple]]:
    return [connection.execute(query).fetchall() for query in LOOKS]


def test_an_empty_home_has_what_the_statements_make(home, tmp_path):
    with connected(tmp_path / "made.duckdb") as connection:
        create_schema(connection, home)
    with connected(tmp_path / "made.duckdb", read_only=True) as connection:  # a file's own words
        made = look(connection)
    with opened(home) as connection:
        assert look(connection) == made
        assert is_current(connection, home)
    assert newest(home) is None
    with writing(home) as connection:
        connection.execute("UPDATE mart.catalogue SET publication = 0")
        assert look(connection) == made


def test_the_statements_run_once_for_all_homes(tmp_path, monkeypatch):
    def no_more(*_: object) -> None:
        raise AssertionError("made anew")

    first, second = Home.at(tmp_path / "first"), Home.at(tmp_path / "second")
    with writing(first):
        pass
    monkeypatch.setattr(create_schema, "__code__", no_more.__code__)
    for home in (first, second):
        with opened(home) as connection:
            assert is_current(connection, home)
        with writing(home):
            pass
        assert following.publication(home) == (2 if home is first else 1)


def test_another_version_is_made_anew_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    numbers = iter(range(9))

    def make(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE TABLE n AS SELECT ? AS n", [next(numbers)])

    for place, version in enumerate(("one", "one", "two", "two")):
        path = tmp_path / f"{place}.duckdb"
        write_new(path, make, version)
        with connected(path, read_only=True) as connection:
            assert connection.execute("FROM n").fetchall() == [(place // 2,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.duckdb" for n in range(4)]


def test_what_can_not_be_made_is_made_at_the_next_asking(tmp_path):
    fails = [True, False]

    def make(connection: duckdb.DuckDBPyConnection) -> None:
        if fails.pop(0):
            raise KeyboardInterrupt
        connection.execute("CREATE TABLE n (n INTEGER)")

    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "new.duckdb", make, "one")
    assert not (tmp_path / "new.duckdb").exists()
    write_new(tmp_path / "new.duckdb", make, "one")
    with connected(tmp_path / "new.duckdb", read_only=True) as connection:
        assert connection.execute("FROM n").fetchall() == []
