"""What a home holds, without what differs from run to run: times, ids of audits, numbers.

Two homes in which the same was done hold the same, however often one of them was killed meanwhile.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

# of these tables all rows; audits are compared audit by audit, as one more of them is no fault
DIFFERS = ("publication", "audit_id", "seconds", "train_seconds")
NOW = re.compile(r"(?<=timestamp between 788918400 and )[0-9]+")  # of an audit's latest moment
LEFT_OUT = {"mart.catalogue", "mart.validation_results"}
AUDITS = "mart.validation_results"
TABLES = """
SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE NOT internal
UNION ALL SELECT DISTINCT table_name FROM mart.files
"""
# what may be there or not without being garbage: locks are taken again by name, logs grow
# what was put aside for people to look at is there for a day if nobody died meanwhile
PASSING = re.compile(
    r"locks/(?!staging-|alone-|flow-|child-).*\.lock|logs/.*|locks|logs|untold.*"
    r"|(store|catalogue)/.*\.damaged"
)
CATALOGUE = re.compile(r"catalogue/\d{10}-[0-9a-f]{32}\.duckdb")
TIMED = {"run.json", "started", "published.duckdb", "epochs.jsonl"}  # they hold times


@dataclass(frozen=True)
class Content:
    """Rows of each table, how often each is there; audits; files, with a checksum where it holds.

    Attributes:
        rows: by table and row.
        audits: of each audit the rows, with how often there is one like it.
        files: relative to the home.
    """

    rows: Counter[tuple[str, str]]
    audits: Counter[tuple[str, ...]]
    files: dict[str, str]


def content_of(home: Path) -> Content:
    """All of a home; what can't be read is told as a row of its own."""
    files = _files(home)
    if not (home / "published.duckdb").exists():
        return Content(Counter(), Counter(), files)
    try:
        return Content(*_published(home), files)
    except duckdb.Error as error:
        return Content(Counter({("unreadable", str(error)): 1}), Counter(), files)


def _published(home: Path) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, ...]]]:
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        names = {name for (name,) in connection.execute(TABLES).fetchall()}
        rows: Counter[tuple[str, str]] = Counter()
        for name in sorted(names - LEFT_OUT):
            rows.update((name, row) for row in _rows(connection, name))
        audits: dict[str, list[str]] = {}
        for audit_id, row in zip(
            connection.execute(f"SELECT audit_id FROM {AUDITS} ORDER BY ALL").fetchall(),
            _rows(connection, AUDITS, order="ORDER BY audit_id"),
            strict=True,
        ):
            audits.setdefault(audit_id[0], []).append(row)
    return rows, Counter(tuple(sorted(one)) for one in audits.values())


def _rows(connection: duckdb.DuckDBPyConnection, table: str, order: str = "") -> list[str]:
    relation = connection.sql(f"FROM {table} {order}")
    kept = [
        name
        for name, kind in zip(relation.columns, relation.types, strict=True)
        if name not in DIFFERS and str(kind) != "TIMESTAMP"
    ]
    columns = ", ".join(f'"{name}"' for name in kept)
    found: list[Any] = connection.sql(f"SELECT {columns} FROM {table} {order}").fetchall()
    return [NOW.sub("now", repr(row)) for row in found]


def _files(home: Path) -> dict[str, str]:
    found = {}
    for path in home.rglob("*"):
        name = str(path.relative_to(home))
        if PASSING.fullmatch(name) or CATALOGUE.fullmatch(name):
            continue
        whole = path.is_file() and not path.is_symlink() and path.name not in TIMED
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if whole else ""
    if len(list((home / "catalogue").glob("*.duckdb"))) > 3:
        found["catalogue: more than three"] = ""
    return found


@dataclass(frozen=True)
class Difference:
    """What a disturbed home has otherwise than an undisturbed one."""

    lost: list[str]
    double: list[str]
    other: list[str]
    garbage: list[str]


def difference(wanted: Content, got: Content) -> Difference:
    """Rows and files that are missing, there too often, of another content, or nobody's."""
    lost = [f"{table}: {row}" for table, row in (wanted.rows - got.rows)]
    double, other = [], []
    for (table, row), _ in (got.rows - wanted.rows).items():
        (double if wanted.rows[table, row] else other).append(f"{table}: {row}")
    known = set(chain(*wanted.audits))
    lost += [f"audit: {row}" for row in known.difference(chain(*got.audits))]
    for strange in (one for one in got.audits if one not in wanted.audits):
        other += [f"audit: {row}" for row in strange if row not in known]
        double += [f"audit: {row}" for row, count in Counter(strange).items() if count > 1]
        if set(strange) < known:
            lost.append(f"part of an audit: {len(strange)} rows")
    lost += [f"file {name}" for name in wanted.files.keys() - got.files.keys()]
    both = wanted.files.keys() & got.files.keys()
    other += [f"file {name}" for name in both if wanted.files[name] != got.files[name]]
    return Difference(lost, double, other, sorted(got.files.keys() - wanted.files.keys()))
