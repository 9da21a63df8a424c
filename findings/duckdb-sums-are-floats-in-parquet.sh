#!/usr/bin/env bash
# DuckDB: a sum of integers is exact in a query and a rounded float in the Parquet file of that query.
#
# Versions: duckdb 2.0.0 (1.4.2 likewise), polars 2.1.0.
# Guess:    COPY (SELECT sum(id) …) TO 'x.parquet' writes the number that SELECT shows, or says that
#           it can't.
# What is:  sum() of any integer type is a HUGEINT, for which Parquet has no type: COPY writes DOUBLE.
#           From 2^53 on the last digits are gone. Sums of ids, of hashes or of times in microseconds,
#           kept to compare two loads, agree though the loads differ, or differ though they agree. As
#           CSV the digits stay; a cast to DECIMAL(38, 0) keeps them in Parquet too. The other way,
#           a 128-bit integer that Polars writes is sixteen bytes to DuckDB.
# Seen:     DuckDB 9007199254740993, in Parquet 9007199254740992.0 (Float64), as decimal 9007199254740993, in CSV 9007199254740993
#           Polars' Int128 9007199254740993 is a BLOB to DuckDB
# Source:   run here. DuckDB's page on writing Parquet does not say it; duckdb/duckdb#21180 (open) does,
#           with the place in extension/parquet/parquet_writer.cpp.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 polars==2.1.0
seen=$(cd "$folder" && "$folder/venv/bin/python" - <<'PY'
from pathlib import Path

import duckdb
import polars as pl

ids = "FROM (VALUES (9007199254740990), (3)) AS t(id)"  # 2^53 + 1 together
duckdb.sql(f"COPY (SELECT sum(id) AS total {ids}) TO 'sum.parquet'")
duckdb.sql(f"COPY (SELECT sum(id)::DECIMAL(38, 0) AS total {ids}) TO 'decimal.parquet'")
duckdb.sql(f"COPY (SELECT sum(id) AS total {ids}) TO 'sum.csv' (HEADER false)")
((total,),) = duckdb.sql(f"SELECT sum(id) {ids}").fetchall()
kept = pl.read_parquet("sum.parquet")["total"]
decimal = pl.read_parquet("decimal.parquet")["total"][0]
text = Path("sum.csv").read_text().strip()
print(f"DuckDB {total}, in Parquet {kept[0]} ({kept.dtype}), as decimal {decimal}, in CSV {text}")
wide = pl.DataFrame({"total": [total]}, schema={"total": pl.Int128})
wide.write_parquet("wide.parquet")
((kind,),) = duckdb.sql("SELECT typeof(total) FROM 'wide.parquet'").fetchall()
print(f"Polars' Int128 {wide['total'][0]} is a {kind} to DuckDB")
PY
)
echo "$seen"
test "$seen" = "DuckDB 9007199254740993, in Parquet 9007199254740992.0 (Float64), as decimal 9007199254740993, in CSV 9007199254740993
Polars' Int128 9007199254740993 is a BLOB to DuckDB"
echo "as described"
