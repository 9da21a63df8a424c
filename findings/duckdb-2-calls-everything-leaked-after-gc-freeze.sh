#!/usr/bin/env bash
# After gc.freeze() a program that only imported DuckDB 2.0 ends with a page of "leaked" on stderr.
#
# Versions: duckdb 2.0.0 beside 1.5.5, CPython 3.11 (others alike).
# Guess:    gc.freeze() saves time or memory and is not seen otherwise: Python's documentation advises
#           it before a fork, and web servers and test runners call it.
# What is:  what is frozen is not gone through at the interpreter's end either. The bindings of
#           DuckDB 2.0 (nanobind) count what of theirs is left by then, so a program of two lines that
#           opened nothing prints 47 lines: 27 leaked instances, 15 leaked types, 111 leaked
#           functions, "likely caused by a reference counting issue". Nothing leaks, the exit code is
#           0. 1.5.5 (pybind11) is silent. gc.unfreeze() at exit brings silence, and the time to go
#           through all objects back (a second of a core where Prefect and Great Expectations are
#           imported); os._exit after atexit's functions brings both.
# Seen:     1.5.5 frozen: 0 lines; 2.0.0: 0 lines, frozen: 47 lines (leaked 27 instances, leaked 15
#           types, leaked 111 functions), unfrozen at exit: 0 lines
# Matters:  whoever takes output on stderr for a failure (cron, a test, a supervisor) sees one; and the
#           text sends people to look for a bug in reference counting.
# Source:   run here; nanobind's documentation says that leaks are told at the end of the interpreter
#           ("Reference leaks"); Python's says of gc.freeze that it is for a fork without an exec.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 1.5.5 2.0.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done
lines() { # of stderr; the exit code must be 0
  "$folder/$1/bin/python" -c "import atexit, duckdb, gc; $2" 2>"$folder/said"
  wc -l <"$folder/said" | tr -d ' '
}
frozen="gc.freeze()"
seen="1.5.5 frozen: $(lines 1.5.5 "$frozen") lines; 2.0.0: $(lines 2.0.0 pass) lines,"
seen+=" frozen: $(lines 2.0.0 "$frozen") lines"
seen+=" ($(grep -o 'leaked [0-9]* [a-z]*!' "$folder/said" | tr -d '!' | paste -sd, | sed 's/,/, /g'))"
seen+=", unfrozen at exit: $(lines 2.0.0 "$frozen; atexit.register(gc.unfreeze)") lines"
echo "$seen"
[ "$seen" = "1.5.5 frozen: 0 lines; 2.0.0: 0 lines, frozen: 47 lines (leaked 27 instances, leaked 15 \
types, leaked 111 functions), unfrozen at exit: 0 lines" ]
