#!/usr/bin/env bash
# DuckDB's JSON of a NaN is no JSON, of a FLOAT it has digits that nobody stored.
#
# Versions: duckdb 2.0.0.
# Guess:    to_json gives text that every JSON reader takes, and casting text to JSON checks it.
# What is:  to_json of NaN and the infinities writes bare NaN, Infinity and -Infinity, also within
#           lists and structs; '[1,]'::JSON and 'NaN'::JSON are accepted as they are. A FLOAT is
#           widened first: 0.1 becomes 0.10000000149011612, while its text is 0.1. HUGEINT and
#           DECIMAL are exact. JavaScript, jq, Go and PostgreSQL refuse such a line; Python's json
#           module reads NaN and hides it.
# Seen:     {"a":NaN,"b":[Infinity,-Infinity]} | [1,] NaN | 0.10000000149011612, as text 0.1 | strict reader: refused
# Source:   run here. RFC 8259, section 6: numbers such as Infinity and NaN are not permitted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 orjson==3.11.4
seen=$("$folder/venv/bin/python" - <<'PY'
import duckdb, orjson
one = lambda sql: duckdb.sql(sql).fetchall()[0][0]
odd = one("SELECT to_json({'a': 'nan'::DOUBLE, 'b': ['inf'::DOUBLE, '-inf'::DOUBLE]})::VARCHAR")
cast = one("SELECT '[1,]'::JSON::VARCHAR || ' ' || 'NaN'::JSON::VARCHAR")
wide = one("SELECT to_json(0.1::FLOAT)::VARCHAR || ', as text ' || 0.1::FLOAT::VARCHAR")
try:
    orjson.loads(odd)
    strict = "taken"
except orjson.JSONDecodeError:
    strict = "refused"
print(f"{odd} | {cast} | {wide} | strict reader: {strict}")
PY
)
echo "$seen"
test "$seen" = '{"a":NaN,"b":[Infinity,-Infinity]} | [1,] NaN | 0.10000000149011612, as text 0.1 | strict reader: refused'
echo "as described"
