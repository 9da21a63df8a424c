#!/usr/bin/env bash
# Great Expectations: the same expectations hold in DuckDB and fail in pandas, for NaN and for codes such as "01".
#
# Versions: great-expectations 1.24.1, duckdb 2.0.0, duckdb-engine 0.17.0, sqlalchemy 2.0.58, pandas 2.3.3.
# Guess:    an expectation means the same wherever the rows are. A score that is NaN is not "not null",
#           or at least not "0 or more"; the text "01" is not in the set of numbers 1, 2, 3.
# What is:  expectations become the source's own comparisons. In DuckDB NaN is a number, greater than all
#           others: it is not null, it is at least 0, and it is greater than the other column. Only an
#           upper bound finds it, on each value; pandas takes it for missing, and leaves it out
#           everywhere but in "not null". And IN (1, 2, 3) makes DuckDB cast the text to a number, so "01"
#           is 1, where pandas finds no text in a set of numbers; and texts in a set are numbers too.
#           A suite that was written on a sample in pandas says "success" of other rows in the file.
# Seen:     not null: pandas fails, DuckDB holds; at least 0: pandas holds, DuckDB holds
#           0 to 1: pandas holds, DuckDB fails; mean 0 to 1: pandas holds, DuckDB fails
#           codes in 1, 2, 3: pandas fails, DuckDB holds; stars in "1", "2": pandas fails, DuckDB holds
# Source:   run here. DuckDB's page on numeric types says that NaN is equal to itself and greater than all;
#           the docstring of "not null" names np.nan of pandas, and no NaN of a database; none speaks of
#           casts. (Without the small dialect
#           below Great Expectations reads nothing from DuckDB: it closes the connection first.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  great-expectations==1.24.1 duckdb==2.0.0 duckdb-engine==0.17.0 sqlalchemy==2.0.58 pandas==2.3.3
cat > "$folder/checked.py" <<'PY'
import warnings

warnings.simplefilter("ignore")
import duckdb
import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from duckdb_engine import ConnectionWrapper, CursorWrapper, Dialect
from sqlalchemy.dialects import registry


class Cursor(CursorWrapper):
    """Fetches at once: Great Expectations closes the connection first, which is the cursor."""

    description = None

    def __init__(self, connection, wrapper):
        super().__init__(connection, wrapper)
        self.held, self.rows = connection, iter(())

    def execute(self, statement, parameters=None, context=None):
        super().execute(statement, parameters, context)
        self.description = self.held.description
        self.rows = iter(self.held.fetchall() if self.description else ())

    def fetchone(self):
        return next(self.rows, None)

    def fetchmany(self, size=1):
        return [row for _, row in zip(range(size), self.rows)]

    def fetchall(self):
        return list(self.rows)


class Connection(ConnectionWrapper):
    def __init__(self, connection):
        super().__init__(connection)
        self.held = connection

    def cursor(self):
        return Cursor(self.held, self)


class Fetching(Dialect):
    supports_statement_cache = False

    def connect(self, *arguments, **parameters):
        return Connection(super().connect(*arguments, **parameters)._ConnectionWrapper__c)


registry.register("duckdb.fetching", __name__, "Fetching")
frame = pd.DataFrame({"score": [0.1, np.nan, 0.9], "stars": [1, 2, 2], "code": ["01", "2", "3"]})
with duckdb.connect("checked.duckdb") as connection:
    connection.execute("CREATE TABLE ratings AS SELECT coalesce(score, 'nan'::DOUBLE) AS score, stars, code FROM frame")
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
pandas = context.data_sources.add_pandas("frame").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
source = context.data_sources.add_or_update_sql("file", connection_string="duckdb+fetching:///checked.duckdb")
table = source.add_table_asset("ratings", table_name="ratings").add_batch_definition_whole_table("b")
batches = {"pandas": pandas.get_batch({"dataframe": frame}), "DuckDB": table.get_batch()}
CHECKS = {
    "not null": gxe.ExpectColumnValuesToNotBeNull(column="score"),
    "at least 0": gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0),
    "0 to 1": gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0, max_value=1),
    "mean 0 to 1": gxe.ExpectColumnMeanToBeBetween(column="score", min_value=0, max_value=1),
    "codes in 1, 2, 3": gxe.ExpectColumnValuesToBeInSet(column="code", value_set=[1, 2, 3]),
    'stars in "1", "2"': gxe.ExpectColumnValuesToBeInSet(column="stars", value_set=["1", "2"]),
}
said = []
for name, check in CHECKS.items():
    held = {where: batch.validate(check).success for where, batch in batches.items()}
    said.append(f"{name}: " + ", ".join(f"{where} {'holds' if ok else 'fails'}" for where, ok in held.items()))
for one, other in zip(said[::2], said[1::2]):
    print(f"{one}; {other}")
PY
seen=$(cd "$folder" && "$folder/venv/bin/python" checked.py 2>err | grep "pandas") || { cat "$folder/err"; exit 1; }
echo "$seen"
test "$seen" = 'not null: pandas fails, DuckDB holds; at least 0: pandas holds, DuckDB holds
0 to 1: pandas holds, DuckDB fails; mean 0 to 1: pandas holds, DuckDB fails
codes in 1, 2, 3: pandas fails, DuckDB holds; stars in "1", "2": pandas fails, DuckDB holds'
echo "as described"
