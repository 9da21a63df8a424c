#!/usr/bin/env bash
# DuckLake: clean-up deletes a file that a table has, if the same file was taken out of the table before.
#
# Versions: duckdb 1.5.5 with the extension of duckdb-extension-ducklake 1.5.5 (DuckLake 1.0); there is
#           no such package for DuckDB 2.0. The catalogue is a DuckDB file; with PostgreSQL 15 the same.
# Guess:    what the newest snapshot has is safe: to expire the others and to clean up takes what no
#           snapshot has any more.
# What is:  a file whose rows are deleted and that is then entered again (ducklake_add_data_files) has an
#           old entry and a new one. When the snapshots of the old one expire, its path goes on the list of
#           what is to be deleted, and clean-up deletes the file, though the table has it by the
#           new entry. Every call succeeds, and count(*) is still answered, from the catalogue.
# Seen:     rows deleted: 0 rows
#           entered again: 1000 rows
#           the table has ['numbers.parquet']
#           clean-up deletes ['numbers.parquet']
#           count(*): 1000
#           sum(number): IO Error: Cannot open file "numbers.parquet": No such file or directory
# Matters:  files that are named by their content, or a job that enters again what it had replaced.
# Source:   DuckLakeMetadataManager::DeleteSnapshots in duckdb/ducklake picks entries by their snapshots
#           and schedules their paths. "Adding Files" says that DuckLake owns a file from then on and
#           may delete it, not that it may while a table has it. duckdb/ducklake#1354 (closed, not
#           merged) says it of one file in two tables.
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


def lake():
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    connection.execute("ATTACH 'ducklake:metadata.ducklake' AS lake (DATA_PATH 'data/')")
    connection.execute("USE lake")
    return connection


def enter(connection):
    connection.execute(f"CALL ducklake_add_data_files('lake', 'numbers', '{file}')")


def answer(connection, query):
    try:
        return connection.execute(query).fetchone()[0]
    except duckdb.IOException as error:
        return str(error).replace(str(file), file.name)


file = Path("numbers.parquet").resolve()
first = lake()
first.execute(f"COPY (SELECT range::INTEGER AS number FROM range(1000)) TO '{file}'")
first.execute("CREATE TABLE numbers (number INTEGER)")
enter(first)
first.execute("DELETE FROM numbers")
print("rows deleted:", answer(first, "SELECT count(*) FROM numbers"), "rows")
enter(first)
print("entered again:", answer(first, "SELECT count(*) FROM numbers"), "rows")
first.execute("CALL ducklake_expire_snapshots('lake', older_than => now() + INTERVAL 1 DAY)")
listed = first.execute("SELECT data_file FROM ducklake_list_files('lake', 'numbers')").fetchall()
print("the table has", [Path(one).name for (one,) in listed])
gone = first.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)").fetchall()
print("clean-up deletes", [Path(one).name for (one,) in gone])
first.close()
later = lake()
print("count(*):", answer(later, "SELECT count(*) FROM numbers"))
print("sum(number):", answer(later, "SELECT sum(number) FROM numbers"))
PY
)
echo "$seen"
test "$seen" = "rows deleted: 0 rows
entered again: 1000 rows
the table has ['numbers.parquet']
clean-up deletes ['numbers.parquet']
count(*): 1000
sum(number): IO Error: Cannot open file \"numbers.parquet\": No such file or directory"
echo "as described"
