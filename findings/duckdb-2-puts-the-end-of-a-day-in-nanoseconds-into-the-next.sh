#!/usr/bin/env bash
# DuckDB 2 rounds nanosecond timestamps: the last half microsecond of a year is in the next one.
#
# Versions: duckdb 2.0.0 beside 1.5.5; pyarrow 25.0.0 writes the Parquet file.
# Guess:    a date of a timestamp is the day that it lies in, as in 1.5, pandas, Arrow and Polars.
# What is:  from 2.0 on a cast of TIMESTAMP_NS to TIMESTAMP or DATE rounds to the nearest microsecond,
#           where 1.5 cut off. So do year(), date_trunc() and epoch_us(). strftime() of the same value
#           does not: one row is of two years. epoch_ns() is exact in both.
# Seen:     1.5.5 2024-12-31 2024 2024 1735689599 | 2.0.0 2025-01-01 2025 2024 1735689599
# Source:   run here, on a Parquet file as pandas writes it (nanoseconds are its default).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 1.5.5 2.0.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version" pyarrow==25.0.0
done
"$folder/2.0.0/bin/python" - "$folder/events.parquet" <<'PY'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

end_of_year = pa.array([1735689599_999999900], pa.timestamp("ns"))  # 2024-12-31 23:59:59.9999999
pq.write_table(pa.table({"moment": end_of_year}), sys.argv[1], version="2.6")
PY
ask() {
  "$folder/$1/bin/python" - "$folder/events.parquet" <<'PY'
import sys

import duckdb

row = duckdb.sql(
    "SELECT moment::DATE::VARCHAR, year(moment), strftime(moment, '%Y'), epoch_ns(moment) // 1000000000 "
    f"FROM '{sys.argv[1]}'"
).fetchall()[0]
print(duckdb.__version__, *row)
PY
}
seen="$(ask 1.5.5) | $(ask 2.0.0)"
echo "$seen"
test "$seen" = '1.5.5 2024-12-31 2024 2024 1735689599 | 2.0.0 2025-01-01 2025 2024 1735689599'
echo "as described"
