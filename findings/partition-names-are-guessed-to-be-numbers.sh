#!/usr/bin/env bash
# The same partitioned folder: run 1e5 is 100000.0 in Polars, run 007 is 7 in PyArrow, 0x1F is 31 in DuckDB.
#
# Versions: duckdb 2.0.0, polars 2.1.0, pyarrow 26.0.1.
# Guess:    the value of a partition run=… is the text that was written, or at least the same in all
#           readers; an id of hexadecimal digits is no number.
# What is:  each guesses a type from all the names at hand, each in its own way. Polars takes digits with
#           an "e" between them for a float, so the short hash 1e5 becomes 100000.0, and 1.10 becomes
#           1.1; it and PyArrow drop leading zeros, DuckDB does not; DuckDB and PyArrow read 0x1F as 31,
#           Polars as text. One more folder changes the type of all others: hashes are text until a
#           day comes on which all of them look like numbers. A join on the id then fails or finds
#           nothing. Say the type: hive_types in DuckDB, hive_schema in Polars, a partitioning in PyArrow.
# Seen:     007 012: DuckDB 007, 012; Polars 7, 12; PyArrow 7, 12
#           1e5 2e5: DuckDB 1e5, 2e5; Polars 100000.0, 200000.0; PyArrow 1e5, 2e5
#           1.10 1.1: DuckDB 1.10, 1.1; Polars 1.1, 1.1; PyArrow 1.10, 1.1
#           0x1F 0x2F: DuckDB 31, 47; Polars 0x1F, 0x2F; PyArrow 31, 47
#           1e5 3af: DuckDB 1e5, 3af; Polars 1e5, 3af; PyArrow 1e5, 3af
# Matters:  a table whose key is a short hash changes its type with the training that was run last.
# Source:   run here. All three say that types are inferred; none says how, nor that zeros go.
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


def shown(readings):
    return ", ".join(str(run) for _, run in sorted(readings))


for runs in (["007", "012"], ["1e5", "2e5"], ["1.10", "1.1"], ["0x1F", "0x2F"], ["1e5", "3af"]):
    root = Path("-".join(runs))
    for number, run in enumerate(runs):
        (root / f"run={run}").mkdir(parents=True)
        pl.DataFrame({"number": [number]}).write_parquet(root / f"run={run}" / "ranks.parquet")
    by_duckdb = duckdb.sql(f"SELECT number, run FROM read_parquet('{root}/*/*.parquet')").fetchall()
    by_polars = pl.read_parquet(root).select("number", "run").rows()
    table = pq.read_table(root)
    by_pyarrow = zip(table["number"].to_pylist(), table["run"].to_pylist())
    print(f"{' '.join(runs)}: DuckDB {shown(by_duckdb)}; Polars {shown(by_polars)}; PyArrow {shown(by_pyarrow)}")
PY
)
echo "$seen"
test "$seen" = "007 012: DuckDB 007, 012; Polars 7, 12; PyArrow 7, 12
1e5 2e5: DuckDB 1e5, 2e5; Polars 100000.0, 200000.0; PyArrow 1e5, 2e5
1.10 1.1: DuckDB 1.10, 1.1; Polars 1.1, 1.1; PyArrow 1.10, 1.1
0x1F 0x2F: DuckDB 31, 47; Polars 0x1F, 0x2F; PyArrow 31, 47
1e5 3af: DuckDB 1e5, 3af; Polars 1e5, 3af; PyArrow 1e5, 3af"
echo "as described"
