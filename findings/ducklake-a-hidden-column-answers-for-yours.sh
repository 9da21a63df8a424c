#!/usr/bin/env bash
# DuckLake: each table has a hidden column snapshot_id, and it answers where a query means another one.
#
# Versions: duckdb 1.5.5 with the extension of duckdb-extension-ducklake 1.5.5 (DuckLake 1.0); 2.0 of
#           DuckDB has no such package. The catalogue is a DuckDB file; with PostgreSQL 15 the same.
# Guess:    a query means in a lake what it means in DuckDB. A name that a table does not have is an
#           error, or, in a subquery, a column of the query around it.
# What is:  a lake's table has a snapshot_id, the number of the commit that wrote the row, and a
#           filename, which DESCRIBE, SELECT * and NATURAL JOIN leave out; USING and every
#           other name find them. A join by a column that only one side has is a join by commit, and
#           a subquery that names a column of the query around it counts otherwise than on the same
#           rows in DuckDB. (FROM runs) instead of the name has the table's own columns alone.
# Seen:     memory: runs of snapshot 40: [(40, 2)]
#           memory: by USING: Binder Error: Column "snapshot_id" does not exist on left side of join!
#           lake: runs of snapshot 40: [(40, 0)]
#           lake: by USING: [(7, 3, 'no. 3'), (8, 3, 'no. 3')]
#           lake (FROM runs): runs of snapshot 40: [(40, 2)]
#           lake (FROM runs): by USING: Binder Error: Column "snapshot_id" does not exist on left side of join!
#           DESCRIBE runs: ['run_id', 'made_of']
# Matters:  the second query is valid in both, and its wrong number looks like any other.
# Source:   DuckLakeTableEntry::GetVirtualColumns in duckdb/ducklake (five columns). The documentation has
#           rowid ("Row Lineage") alone, and "Unsupported Features", which says how a lake differs from
#           a DuckDB file, none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  duckdb==1.5.5 duckdb-extension-ducklake==1.5.5
seen=$(cd "$folder" && "$folder/venv/bin/python" - <<'PY'
from importlib.resources import files

import duckdb

connection = duckdb.connect()
extension = files("duckdb_extension_ducklake") / "extensions/v1.5.5/ducklake.duckdb_extension"
connection.execute(f"LOAD '{extension}'")
connection.execute("ATTACH 'ducklake:metadata.ducklake' AS lake (DATA_PATH 'data/')")


def answer(query):
    try:
        return connection.execute(query).fetchall()
    except duckdb.BinderException as error:
        return str(error).partition("\n")[0]


def answers(name, runs):
    joined = answer(f"SELECT run_id, snapshot_id, name FROM {runs} JOIN snapshots USING (snapshot_id) "
                    "ORDER BY ALL")
    counted = answer(f"SELECT snapshot_id, (SELECT count(*) FROM {runs} WHERE made_of = snapshot_id) "
                     "FROM snapshots WHERE snapshot_id = 40")
    print(f"{name}: runs of snapshot 40: {counted}\n{name}: by USING: {joined}")


for database in ("memory", "lake"):
    connection.execute(f"USE {database}")
    connection.execute("CREATE TABLE runs (run_id INTEGER, made_of BIGINT)")
    connection.execute("CREATE TABLE snapshots (snapshot_id BIGINT, name VARCHAR)")
    connection.execute("INSERT INTO runs VALUES (7, 40), (8, 40)")
    connection.execute("INSERT INTO snapshots SELECT range, 'no. ' || range FROM range(100)")
    answers(database, "runs")
answers("lake (FROM runs)", "(FROM runs)")
print("DESCRIBE runs:", [row[0] for row in answer("DESCRIBE runs")])
PY
)
echo "$seen"
test "$seen" = "memory: runs of snapshot 40: [(40, 2)]
memory: by USING: Binder Error: Column \"snapshot_id\" does not exist on left side of join!
lake: runs of snapshot 40: [(40, 0)]
lake: by USING: [(7, 3, 'no. 3'), (8, 3, 'no. 3')]
lake (FROM runs): runs of snapshot 40: [(40, 2)]
lake (FROM runs): by USING: Binder Error: Column \"snapshot_id\" does not exist on left side of join!
DESCRIBE runs: ['run_id', 'made_of']"
echo "as described"
