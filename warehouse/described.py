"""What the catalogue knows of own data: how each load was described, and its ids' numbers."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import duckdb

from warehouse.catalogue import fetch_all
from warehouse.home import Home
from warehouse.stored import OWN, RAW
from warehouse.transforms.rules import MOVIELENS, Rules


def is_described(connection: duckdb.DuckDBPyConnection, load_id: str) -> bool:
    """Whether a load is of own data."""
    query = "SELECT 1 FROM raw.descriptions WHERE load_id = ?"
    return connection.execute(query, [load_id]).fetchone() is not None


def raw_tables_of(connection: duckdb.DuckDBPyConnection, load_id: str) -> Sequence[str]:
    """The tables that a load must have a file of to be whole."""
    return (*RAW, *OWN) if is_described(connection, load_id) else RAW


def rules_of(home: Home, load_id: str) -> Rules:
    """What a load says of its own preparation."""
    query = "SELECT description FROM raw.descriptions WHERE load_id = ?"
    rows = fetch_all(home, query, [load_id])
    return rules_in(rows[0][0]) if rows else MOVIELENS


def repeats_of(home: Home, snapshot_id: str) -> str:
    """Which of a user's interactions with the same item a snapshot has."""
    query = "SELECT repeats FROM core.snapshots WHERE snapshot_id = ?"
    rows = fetch_all(home, query, [snapshot_id])
    return (rows and rows[0][0]) or "first"


def rules_in(description: str) -> Rules:
    """The rules that a description as JSON states."""
    said = json.loads(description)
    rating = said["rating"]
    return Rules(
        repeats=said["repeats"],
        scale=(rating["low"], rating["high"]) if rating else None,
        step=rating["step"] if rating else None,
        own=True,
        rated=rating is not None,
        named=said["items"] is not None,
    )


def newest_description(home: Home, dataset: str) -> tuple[Any, ...] | None:
    """Of the newest load of a data set its id, its source's name and its description as JSON."""
    query = """
        SELECT load_id, source, description FROM raw.descriptions JOIN raw.loads USING (load_id)
        WHERE dataset = ? ORDER BY publication DESC, load_id LIMIT 1
    """
    return next(iter(fetch_all(home, query, [dataset])), None)


def described_names(home: Home) -> list[str]:
    """Own data sets with a load."""
    query = """
        SELECT DISTINCT dataset FROM raw.descriptions JOIN raw.loads USING (load_id) ORDER BY ALL
    """
    return [name for (name,) in fetch_all(home, query)]


def numbers_of(home: Home, load_id: str, keys: Collection[str]) -> dict[str, int]:
    """The numbers that stand for users' ids in a load; ids that nobody has are left out."""
    query = """
        SELECT user_key, raw_user_id FROM raw.user_keys
        WHERE load_id = ? AND list_contains(?::VARCHAR[], user_key)
    """
    return dict(fetch_all(home, query, [load_id, list(keys)]))
