#!/usr/bin/env bash
# DuckDB's count_if over rows of which nothing is known is NULL, not 0.
#
# Versions: duckdb 2.0.0 (1.5.5 likewise); Polars 2.1.0 beside it.
# Guess:    a count is a number: 0 where nothing is counted, as count(*) FILTER gives, and count_if of
#           Spark, Trino, Snowflake and BigQuery.
# What is:  count_if(x) is a sum: of no rows, and of rows where x is NULL, it is NULL. A check such as
#           HAVING count_if(bad) = 0 drops the groups that are fine, and count_if(bad) > 0 says nothing.
# Seen:     count_if None, of no rows None; filter 0 0; groups kept by "= 0": 1 of 2; Polars 0
# Source:   run here. DuckDB's documentation of aggregates: all but count return NULL of no values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 polars==2.1.0
seen=$("$folder/venv/bin/python" - <<'PY'
import duckdb
import polars as pl

one = lambda sql: duckdb.sql(sql).fetchall()[0]
unknown = "FROM (VALUES (NULL::BOOLEAN)) AS t(bad)"
none = "FROM (VALUES (true)) AS t(bad) WHERE false"
(a, b), (c, d) = (one(f"SELECT count_if(bad), count(*) FILTER (bad) {rows}") for rows in (unknown, none))
groups = "FROM (VALUES (1, false), (2, NULL)) AS t(g, bad) GROUP BY g HAVING count_if(bad) = 0"
kept = len(duckdb.sql(f"SELECT g {groups}").fetchall())
polars = pl.Series("bad", [None], pl.Boolean).sum()
print(f'count_if {a}, of no rows {c}; filter {b} {d}; groups kept by "= 0": {kept} of 2; Polars {polars}')
PY
)
echo "$seen"
test "$seen" = 'count_if None, of no rows None; filter 0 0; groups kept by "= 0": 1 of 2; Polars 0'
echo "as described"
