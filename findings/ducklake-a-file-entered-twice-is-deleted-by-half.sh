#!/usr/bin/env bash
# DuckLake: the same file entered twice counts twice, and DELETE takes half of what it says it has taken.
#
# Versions: duckdb 1.5.5 with the extension of duckdb-extension-ducklake 1.5.5 (DuckLake 1.0); there is
#           no such package for DuckDB 2.0. The catalogue is a DuckDB file; with PostgreSQL 15 the same.
# Guess:    a table has a file once: ducklake_add_data_files refuses one that is there, or does nothing.
#           If not, DELETE FROM a table leaves no row in it.
# What is:  each call makes an entry of its own, also of the same path in the same table; only within one
#           call a file is taken once. Each row then has two ids and counts twice. DELETE finds the rows
#           of a file by its path: it counts those of both entries and takes them out of one. The rest
#           stays, until the same DELETE is run again.
# Seen:     entered: 1000 rows
#           entered twice: 2000 rows
#           DELETE WHERE number < 100 says 200; such rows left: 100; all rows: 1900
#           DELETE WHERE number >= 0 says 1900; such rows left: 1000; all rows: 1000
#           DELETE WHERE number >= 0 says 1000; such rows left: 0; all rows: 0
# Matters:  a load that is tried again after a lost answer doubles its rows, and undoing it does half.
# Source:   processed_files in ducklake_add_data_files.cpp of duckdb/ducklake holds the paths of one call;
#           DuckLakeDelete keeps deletes by file name. "Adding Files" says neither that a file may be
#           entered twice nor that it may not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  duckdb==1.5.5 duckdb-extension-ducklake==1.5.5
seen=$(cd "$folder" && "$folder/venv/bin/python" - <<'PY'
from importlib.resources import files
from pathlib import Path

import duckdb

extension = files("duckdb_extension_ducklake") / "extensions/v1.5.5/ducklake.duckdb_extension"
connection = duckdb.connect()
connection.execute(f"LOAD '{extension}'")
connection.execute("ATTACH 'ducklake:metadata.ducklake' AS lake (DATA_PATH 'data/')")
connection.execute("USE lake")


def enter():
    connection.execute(f"CALL ducklake_add_data_files('lake', 'numbers', '{file}')")


def rows(where="true"):
    return connection.execute(f"SELECT count(*) FROM numbers WHERE {where}").fetchone()[0]


def delete(where):
    said = connection.execute(f"DELETE FROM numbers WHERE {where}").fetchone()[0]
    print(f"DELETE WHERE {where} says {said}; such rows left: {rows(where)}; all rows: {rows()}")


file = Path("numbers.parquet").resolve()
connection.execute(f"COPY (SELECT range::INTEGER AS number FROM range(1000)) TO '{file}'")
connection.execute("CREATE TABLE numbers (number INTEGER)")
enter()
print("entered:", rows(), "rows")
enter()
print("entered twice:", rows(), "rows")
delete("number < 100")
delete("number >= 0")
delete("number >= 0")
PY
)
echo "$seen"
test "$seen" = "entered: 1000 rows
entered twice: 2000 rows
DELETE WHERE number < 100 says 200; such rows left: 100; all rows: 1900
DELETE WHERE number >= 0 says 1900; such rows left: 1000; all rows: 1000
DELETE WHERE number >= 0 says 1000; such rows left: 0; all rows: 0"
echo "as described"
