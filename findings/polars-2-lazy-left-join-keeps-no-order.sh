#!/usr/bin/env bash
# Polars 2: a left join keeps the left rows in order when eager, and shuffles them when lazy.
#
# Versions: polars 2.1.0 with two threads or more; 1.44.2 keeps the order in both.
# Guess:    frame.join(…) and frame.lazy().join(…).collect() are the same rows. A left join that looks
#           up one row for each keeps its left side as it is, as it did in Polars 1.
# What is:  in 2.1 lazy frames run on the streaming engine by themselves, eager ones don't. There a
#           join gives rows in an order that differs between two runs of one process, even right after
#           a sort, and in small tables too. group_by(…).agg(…) of it makes lists out of order: a
#           history in which later interactions come before earlier ones, so that "the last one held
#           out" is any one. With one thread all is in order, so a small container or a test with
#           POLARS_MAX_THREADS=1 shows nothing. maintain_order="left" keeps it.
# Seen:     1.44.2: eager in order True, lazy in order True; 100 of 100 histories in order
#           2.1.0: eager in order True, lazy in order False; 0 of 100 histories in order
#           2.1.0 with one thread: eager in order True, lazy in order True; 100 of 100 histories in order
#           2.1.0, maintain_order: 100 of 100 histories in order
# Source:   run here. The docstring of join says that no order is promised without maintain_order,
#           and nothing of the two engines; in Polars 1 the promise was not needed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/joined.py" <<'PY'
import sys

import polars as pl

USERS, EACH = 100, 100
rows = pl.DataFrame({"row": range(USERS * EACH)}).with_columns(
    user=pl.col("row") // EACH, item=pl.col("row") * 7919 % 300
)
items = pl.DataFrame({"item": range(300), "genre": [n % 18 for n in range(300)]})
keep = {"maintain_order": "left"} if "keep" in sys.argv else {}


def lazy():
    return rows.lazy().sort("row").join(items.lazy(), on="item", how="left", **keep)


def histories():
    return lazy().group_by("user", maintain_order=True).agg("row").collect()["row"]


eager = rows.join(items, on="item", how="left")["row"].is_sorted()
ordered = sum(history.is_sorted() for history in histories())
joined = f"eager in order {eager}, lazy in order {lazy().collect()['row'].is_sorted()}; "
print(f"{sys.argv[1]}: {'' if keep else joined}{ordered} of {USERS} histories in order")
PY
for version in 1.44.2 2.1.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "polars==$version"
done
seen=$(
  export POLARS_MAX_THREADS=4
  "$folder/1.44.2/bin/python" "$folder/joined.py" 1.44.2
  "$folder/2.1.0/bin/python" "$folder/joined.py" 2.1.0
  POLARS_MAX_THREADS=1 "$folder/2.1.0/bin/python" "$folder/joined.py" "2.1.0 with one thread"
  "$folder/2.1.0/bin/python" "$folder/joined.py" "2.1.0, maintain_order" keep
)
echo "$seen"
test "$seen" = "1.44.2: eager in order True, lazy in order True; 100 of 100 histories in order
2.1.0: eager in order True, lazy in order False; 0 of 100 histories in order
2.1.0 with one thread: eager in order True, lazy in order True; 100 of 100 histories in order
2.1.0, maintain_order: 100 of 100 histories in order"
echo "as described"
