#!/usr/bin/env bash
# DuckDB: one Parquet or CSV file under a folder named user_id=7 has user 7 in every row.
#
# Versions: duckdb 2.0.0 (1.4.2 likewise); Polars 2.1.0 and PyArrow 26.0.1 beside it.
# Guess:    partitions are of a table that is read as a whole by a pattern. A single file, named by its
#           path, holds what was written into it; and where both have a column, the file's counts.
# What is:  any folder of the path that looks like name=value is a column, however far above the file
#           (a backup in job=12/…, a home in user_id=7/…). It is added; a column of the file with that
#           name is replaced, whatever its letters' case. read_csv does the same. Only
#           hive_partitioning = false reads what is there, and hive_types limits nothing.
# Seen:     Parquet [(7, 3), (7, 4)], CSV [(7, 3), (7, 4)], in upper case [(7, 3), (7, 4)]
#           told not to [(1, 3), (2, 4)]; Polars [(1, 3), (2, 4)]; PyArrow [(1, 3), (2, 4)]
# Matters:  the same file gives other users after it was copied into another folder.
# Source:   run here. DuckDB's page on Hive partitioning says that it is detected by itself if all files
#           agree (one file always does), and nothing of a column that is in the file too.
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

frame = pl.DataFrame({"user_id": [1, 2], "item_id": [3, 4]})
lower, upper = Path("user_id=7/backup/2026"), Path("USER_ID=7/backup")
for path in (lower, upper):
    path.mkdir(parents=True)
    frame.write_parquet(path / "ratings.parquet")
frame.write_csv(lower / "ratings.csv")
rows = lambda source: duckdb.sql(f"SELECT user_id, item_id FROM {source}").fetchall()
file = lower / "ratings.parquet"
print(
    "Parquet {}, CSV {}, in upper case {}".format(
        rows(f"read_parquet('{file}')"),
        rows(f"read_csv('{lower}/ratings.csv')"),
        rows(f"read_parquet('{upper}/ratings.parquet')"),
    )
)
columns = pq.read_table(file).to_pydict()
print(
    "told not to {}; Polars {}; PyArrow {}".format(
        rows(f"read_parquet('{file}', hive_partitioning = false)"),
        pl.read_parquet(file).rows(),
        list(zip(columns["user_id"], columns["item_id"])),
    )
)
PY
)
echo "$seen"
test "$seen" = "Parquet [(7, 3), (7, 4)], CSV [(7, 3), (7, 4)], in upper case [(7, 3), (7, 4)]
told not to [(1, 3), (2, 4)]; Polars [(1, 3), (2, 4)]; PyArrow [(1, 3), (2, 4)]"
echo "as described"
