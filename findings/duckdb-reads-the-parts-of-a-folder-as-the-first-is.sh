#!/usr/bin/env bash
# DuckDB: half stars in the second Parquet file become whole ones, because the first file has integers.
#
# Versions: duckdb 2.0.0 (1.4.2 likewise); Polars 2.1.0 and PyArrow 26.0.1 beside it.
# Guess:    a folder with an integer column in one part and a float column in another is an error, or
#           all of it is float. Polars and PyArrow refuse it, rather than lose the half.
# What is:  read_parquet takes names and types from the first file (by name) and casts the others to
#           them. 4.5 is rounded to 4, 3.5 to 4, 0.5 to 0: ratings that nobody gave, without a word.
#           A filter is cast too: rows of 4.5 stars are not found. In the other order of names all is
#           well, so it depends on which export came first. union_by_name = true gives the common type.
# Seen:     whole first [4, 5, 4, 4, 2, 0], of 4.5 and more: 1; half first [4.5, 3.5, 2.5, 0.5, 4.0, 5.0]
#           by name [4.0, 5.0, 4.5, 3.5, 2.5, 0.5]; Polars SchemaError; PyArrow ArrowInvalid
# Source:   run here. DuckDB's page on combining schemas says that the first file's schema is read, and
#           that this is right where all files have the same; not that values are cast and rounded.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  duckdb==2.0.0 polars==2.1.0 pyarrow==26.0.1
seen=$(cd "$folder" && "$folder/venv/bin/python" - <<'PY'
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq

PARTS = {"whole": [4, 5], "half": [4.5, 3.5, 2.5, 0.5]}


def folder(first, second):
    path = Path(f"{first}-{second}")
    path.mkdir()
    for number, name in enumerate((first, second)):
        pl.DataFrame({"rating": PARTS[name]}).write_parquet(path / f"{number}.parquet")
    return path


def ratings(path, more="", where=""):
    return [row[0] for row in duckdb.sql(f"SELECT rating FROM read_parquet('{path}/*.parquet'{more}) {where}").fetchall()]


def error(read):
    try:
        read()
    except Exception as error:
        return type(error).__name__
    return "read"


whole, half = folder("whole", "half"), folder("half", "whole")
print(
    f"whole first {ratings(whole)}, of 4.5 and more: {len(ratings(whole, where='WHERE rating >= 4.5'))};"
    f" half first {ratings(half)}"
)
print(
    f"by name {ratings(whole, ', union_by_name = true')};"
    f" Polars {error(lambda: pl.read_parquet(whole))}; PyArrow {error(lambda: pq.read_table(whole))}"
)
PY
)
echo "$seen"
test "$seen" = "whole first [4, 5, 4, 4, 2, 0], of 4.5 and more: 1; half first [4.5, 3.5, 2.5, 0.5, 4.0, 5.0]
by name [4.0, 5.0, 4.5, 3.5, 2.5, 0.5]; Polars SchemaError; PyArrow ArrowInvalid"
echo "as described"
