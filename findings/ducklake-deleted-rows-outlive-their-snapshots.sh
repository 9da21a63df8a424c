#!/usr/bin/env bash
# DuckLake: a deleted row outlives every snapshot that had it, and flushing writes it into a new file.
#
# Versions: duckdb 1.5.5 with the extension of duckdb-extension-ducklake 1.5.5 (DuckLake 1.0); there is
#           no such package for DuckDB 2.0. The catalogue is a DuckDB file; with PostgreSQL 15 the same.
# Guess:    DELETE, then ducklake_expire_snapshots of all snapshots but the newest, then
#           ducklake_cleanup_old_files: nothing has the row any more, so it is gone from the catalogue
#           and from the data. Whoever must delete a person's data has done it.
# What is:  inserts of up to 10 rows stand in the catalogue by themselves (inlining), and a deleted one
#           stays there with the number of the snapshot that deleted it. Expiring and cleaning up leave
#           it. ducklake_flush_inlined_data takes it out of the catalogue, and writes it to a new Parquet
#           file beside the rows that count, with a second file that says it is deleted; further
#           expiring and cleaning up leave both. ducklake_rewrite_data_files leaves them too,
#           unless delete_threshold (by default 0.95) is below the share of deleted rows. After that, and
#           after expiring and cleaning up once more, the row is gone.
# Seen:     deleted; snapshots 4: table ['Bob'], catalogue ['Ann', 'Bob'], files []
#           expired; snapshots 1: table ['Bob'], catalogue ['Ann', 'Bob'], files []
#           flushed, expired; snapshots 1: table ['Bob'], catalogue [], files ['Ann', 'Bob']
#           rewritten, expired; snapshots 1: table ['Bob'], catalogue [], files ['Ann', 'Bob']
#           rewritten with delete_threshold 0, expired; snapshots 1: table ['Bob'], catalogue [], files ['Bob']
# Matters:  the wish of somebody to be forgotten is reported as done, and years later the row is found.
# Source:   "Data Inlining" says that a deleted row gets an end_snapshot, "Expire
#           Snapshots" that expiring is how data is physically removed; neither that it does not
#           remove these. duckdb/ducklake#1390 says it of the catalogue, and takes flushing for what
#           removes them; #1391 (merged after 1.5.5) removes them when snapshots expire.
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


def rows(query):
    return sorted(name for (name,) in connection.execute(query).fetchall())


def clean():
    connection.execute("CALL ducklake_expire_snapshots('lake', older_than => now() + INTERVAL 1 DAY)")
    connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)").fetchall()


def tell(when):
    kept = "__ducklake_metadata_lake"
    ((inlined,),) = connection.execute(f"SELECT table_name FROM {kept}.ducklake_inlined_data_tables").fetchall()
    there = (path for path in Path("data").rglob("*.parquet") if "-delete" not in path.name)
    in_files = [name for path in there for name in rows(f"SELECT name FROM '{path}'")]
    ((snapshots,),) = connection.execute("SELECT count(*) FROM ducklake_snapshots('lake')").fetchall()
    print(f"{when}; snapshots {snapshots}: table {rows('SELECT name FROM people')}, "
          f"catalogue {rows(f'SELECT name FROM {kept}.{inlined}')}, files {in_files}")


connection.execute("CREATE TABLE people (name VARCHAR)")
connection.execute("INSERT INTO people VALUES ('Ann'), ('Bob')")
connection.execute("DELETE FROM people WHERE name = 'Ann'")
tell("deleted")
clean()
tell("expired")
connection.execute("CALL ducklake_flush_inlined_data('lake')").fetchall()
clean()
tell("flushed, expired")
connection.execute("CALL ducklake_rewrite_data_files('lake')").fetchall()
clean()
tell("rewritten, expired")
connection.execute("CALL ducklake_rewrite_data_files('lake', delete_threshold => 0)").fetchall()
clean()
tell("rewritten with delete_threshold 0, expired")
PY
)
echo "$seen"
test "$seen" = "deleted; snapshots 4: table ['Bob'], catalogue ['Ann', 'Bob'], files []
expired; snapshots 1: table ['Bob'], catalogue ['Ann', 'Bob'], files []
flushed, expired; snapshots 1: table ['Bob'], catalogue [], files ['Ann', 'Bob']
rewritten, expired; snapshots 1: table ['Bob'], catalogue [], files ['Ann', 'Bob']
rewritten with delete_threshold 0, expired; snapshots 1: table ['Bob'], catalogue [], files ['Bob']"
echo "as described"
