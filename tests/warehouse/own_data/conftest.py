"""Small files of one's own, and what is read of them."""

import duckdb
import pytest

from warehouse.own_data.description import Description
from warehouse.own_data.reading import read_events


@pytest.fixture
def connection(tmp_path):
    with duckdb.connect(str(tmp_path / "own.duckdb")) as connection:
        yield connection


@pytest.fixture
def described():
    """A description of columns u, i, t; what a test says is changed."""

    def make(**said):
        return Description(**({"name": "mine", "user": "u", "item": "i", "time": "t"} | said))

    return make


@pytest.fixture
def events(connection):
    """Rows of a file in its order, or some columns of them."""

    def read(description, path, columns="user_key, item_key, timestamp, rating, reason"):
        read_events(connection, description, path)
        return connection.execute(
            f"SELECT {columns} FROM own_events ORDER BY source_row"
        ).fetchall()

    return read


@pytest.fixture
def text(tmp_path):
    """A file of these lines."""

    def write(*lines, name="events.csv"):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def parquet(tmp_path):
    """A Parquet file that DuckDB writes of a query."""

    def write(query, name="events.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as maker:
            maker.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
        return path

    return write
