"""A file of scores: what its columns must be, and its rows by the snapshot's ids."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.database import quoted, rows_of, statements
from warehouse.errors import RefusedError
from warehouse.raw_ids import User
from warehouse.records import Snapshot
from warehouse.visible import counted

NEEDED = ("user", "item", "score")
OF_PANDAS = "__index_level_"  # a frame's index, which pandas writes as a column
SHOWN = 3  # examples in a message


@dataclass(frozen=True)
class Rows:
    """How many rows a file has, and how many of them were left out.

    Attributes:
        all: of them.
        of_others: of users whom the snapshot has not, or who have no held-out items.
        of_other_items: of items that retention took out of the snapshot.
    """

    all: int
    of_others: int
    of_other_items: int


def take_rows(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    snapshot: Snapshot,
    split: str,
    forgotten: Collection[User],
) -> Rows:
    """Make the tables `known_users`, `known_items`, `history`, `wanted` and `scored`.

    Args:
        connection: has views of the tables of the snapshot and of its load.
        path: the file.
        snapshot: whose held-out items are ranked.
        split: of the rows, where the file has no column of that name.
        forgotten: users who are left out of every load.

    Raises:
        RefusedError: it is no such file, or a row can't be taken.
    """
    columns = _columns(path)
    facts = {
        "load_id": snapshot.load_id,
        "snapshot_id": snapshot.snapshot_id,
        "forgotten": sorted(map(str, forgotten)),
        "comes_again": snapshot.repeats == "all",
    }
    for statement in duckdb.extract_statements(statements("importing/known")):
        names = statement.named_parameters
        connection.execute(statement, {name: facts[name] for name in names})
    _make_keys(connection, columns)
    own_split = "split" if "split" in columns else f"{quoted(split)}"
    with _readable(path):
        connection.execute(
            f'CREATE VIEW given AS SELECT "user" AS given_user, item AS given_item, score, '
            f"{own_split}::VARCHAR AS split "
            f"FROM {rows_of(path)}"
        )
        rows = _checked(connection, path, snapshot)
        connection.execute(statements("importing/scored"))
    _refuse_twice(connection, path)
    return rows


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A block that reads the file's rows, which may be damaged though its head is not."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise RefusedError(
            f"{path.name} can't be read",
            got=str(error).splitlines()[0],
            to_do="It may be damaged: write it anew",
        ) from error


def _columns(path: Path) -> dict[str, pa.DataType]:
    """The types of its columns.

    Raises:
        RefusedError: it is no Parquet file, or has other columns.
    """
    if not path.is_file():
        there = "something else" if path.exists() else "nothing"
        raise RefusedError(f"{path} is no file", got=there, to_do="Give a Parquet file")
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RefusedError(
            f"{path.name} is no Parquet file",
            got=str(error).splitlines()[0],
            to_do="Write it anew; any data frame library can",
        ) from error
    names = [name for name in schema.names if not name.startswith(OF_PANDAS)]
    if set(names) - {"split"} != set(NEEDED) or len(names) != len(set(names)):
        raise RefusedError(
            f"{path.name} has other columns",
            got=", ".join(names),
            expected="user, item, score, and split where it has both splits",
        )
    columns = {name: _plain(schema.field(name).type) for name in names}
    _refuse_types(path, columns)
    return columns


def _plain(kind: pa.DataType) -> pa.DataType:
    """Without the dictionary in which categories are written."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _refuse_types(path: Path, columns: dict[str, pa.DataType]) -> None:
    for name, kind in columns.items():
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        good = numeric if name == "score" else _is_text(kind)
        if name in ("user", "item"):
            good = good or pa.types.is_integer(kind)
        if not good:
            expected = {"score": "numbers", "split": "valid or test"}
            raise RefusedError(
                f"Column {name} of {path.name} is of another type",
                got=str(kind),
                expected=expected.get(name, "whole numbers or text, as the data set has its ids"),
            )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _make_keys(connection: duckdb.DuckDBPyConnection, columns: dict[str, pa.DataType]) -> None:
    """What the file's ids mean: views `user_keys` and `item_keys`, of the file's own type.

    Ids are known as text. A column of numbers means those that are written as its numbers are:
    7 is no 007.
    """
    for name in ("user", "item"):
        key = f"{name}_key"
        if not _is_text(columns[name]):
            kind = "HUGEINT" if pa.types.is_unsigned_integer(columns[name]) else "BIGINT"
            number = f"TRY_CAST({name}_key AS {kind})"
            key = f"CASE WHEN {number}::VARCHAR = {name}_key THEN {number} END"
        connection.execute(
            f"CREATE VIEW {name}_keys AS SELECT * REPLACE ({key} AS {name}_key) FROM known_{name}s"
        )


def _checked(connection: duckdb.DuckDBPyConnection, path: Path, snapshot: Snapshot) -> Rows:
    """Raises: RefusedError: a row can't be taken."""
    question = connection.sql(statements("importing/wrong_rows"))
    found = dict(zip(question.columns, question.fetchall()[0], strict=True))
    if not found["n_rows"]:
        raise RefusedError(f"{path.name} has no rows", expected="a score in each of them")
    wrong = (
        ("n_empty", "empty cells", "given_user IS NULL OR given_item IS NULL OR score IS NULL", ""),
        ("n_not_finite", "scores that are no numbers", "NOT isfinite(score::DOUBLE)", ""),
        (
            "n_other_splits",
            "splits that there are not",
            "split IS NULL OR split NOT IN ('valid', 'test')",
            "valid or test",
        ),
        (
            "n_unknown_users",
            "users that the data set has not",
            "given_user NOT IN (SELECT user_key FROM user_keys WHERE user_key IS NOT NULL)",
            "ids as the data set writes them",
        ),
        (
            "n_unknown_items",
            "items that the data set has not",
            "given_item NOT IN (SELECT item_key FROM item_keys WHERE item_key IS NOT NULL)",
            "ids as the data set writes them",
        ),
    )
    for name, what, condition, expected in wrong:
        if found[name]:
            shown = _examples(connection, condition)
            raise RefusedError(
                f"{path.name} has {what}",
                got=f"{counted(found[name], 'row')}, such as {shown}",
                expected=expected or None,
                to_do=f"It is read for snapshot {snapshot.snapshot_id}, {snapshot.label}",
            )
    rows = Rows(found["n_rows"], found["n_users_left_out"], found["n_items_left_out"])
    if rows.all == rows.of_others + rows.of_other_items:
        raise RefusedError(
            f"{path.name} has no row of a user with held-out items",
            got=f"{counted(rows.all, 'row')} of others",
        )
    return rows


def _examples(connection: duckdb.DuckDBPyConnection, condition: str) -> str:
    rows = connection.execute(
        f"SELECT given_user, given_item, score, split FROM given WHERE {condition} LIMIT {SHOWN}"
    ).fetchall()
    return _listed([dict(zip((*NEEDED, "split"), row, strict=True)) for row in rows])


def _listed(rows: Sequence[dict[str, object]]) -> str:
    return "; ".join(
        ", ".join(f"{name} {'null' if value is None else value}" for name, value in row.items())
        for row in rows
    )


def _refuse_twice(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    found = connection.execute(statements("importing/twice")).fetchall()
    if found:
        rows = [dict(zip(("user", "item", "times"), row, strict=True)) for row in found]
        raise RefusedError(
            f"{path.name} scores the same item twice for a user",
            got=f"such as {_listed(rows)}",
            expected="one score for each",
        )
