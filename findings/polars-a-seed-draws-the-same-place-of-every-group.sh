#!/usr/bin/env bash
# Polars: a random row of each group is the same place in all of them, or another at every call.
#
# Versions: polars 1.44.2 and 2.1.0
# Guess:    pl.int_range(pl.len()).shuffle(seed=7).over("user") == 0 holds out one random interaction
#           of each user, independent between users, and the same again with the same seed. Without a
#           seed of its own the call follows pl.set_random_seed, which is there to make a run repeat.
# What is:  the seed is set anew for each group, so groups of one size are permuted alike: of all
#           users with as many interactions the same place is held out. sample(1, seed=7) in
#           group_by(…).agg(…) does likewise. Without a seed the groups are independent, but what
#           pl.set_random_seed fixes is drawn by the groups in an order that hashing gives, which
#           differs from call to call, also with one thread; so it repeats only where group_by is told
#           maintain_order=True, which over(…) can't be. A hash of user, item and seed, ranked within
#           the user, is independent and repeats.
# Seen:     1.44.2, over: seed 1 of 20 places, global seed 20 places and 5 answers to 5 calls
#           1.44.2, group_by: seed 1 of 20 places, global seed 20 places and 5 answers to 5 calls
#           1.44.2, group_by in order: seed 1 of 20 places, global seed 20 places and 1 answers to 5 calls
#           2.1.0, over: seed 1 of 20 places, global seed 20 places and 5 answers to 5 calls
#           2.1.0, group_by: seed 1 of 20 places, global seed 20 places and 5 answers to 5 calls
#           2.1.0, group_by in order: seed 1 of 20 places, global seed 20 places and 1 answers to 5 calls
# Matters:  a random split by user, or negatives sampled by user, are correlated between users: a
#           metric's interval over users is then too narrow, and no test of one user shows it.
# Source:   run here. The docstrings of shuffle, sample and set_random_seed say nothing of groups;
#           github.com/pola-rs/polars issues 22115 (a seed an expression) and 27307 (over and the
#           global seed) ask for what is missing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/drawn.py" <<'PY'
import polars as pl

USERS, EACH, CALLS = 1000, 20, 5
rows = pl.DataFrame({"row": range(USERS * EACH)}).select(
    user=pl.col("row") // EACH, place=pl.col("row") % EACH
)


def over(seed=None):
    first = pl.int_range(pl.len()).shuffle(seed=seed).over("user") == 0
    return rows.filter(first)["place"].to_list()


def grouped(seed=None, in_order=False):
    groups = rows.group_by("user", maintain_order=in_order)
    drawn = groups.agg(pl.col("place").sample(1, seed=seed)).sort("user")
    return drawn["place"].list.first().to_list()


def grouped_in_order(seed=None):
    return grouped(seed, in_order=True)


def by_global_seed(draw):
    pl.set_random_seed(7)
    return tuple(draw())


for name, draw in ("over", over), ("group_by", grouped), ("group_by in order", grouped_in_order):
    answers = [by_global_seed(draw) for _ in range(CALLS)]
    print(
        f"{pl.__version__}, {name}: seed {len(set(draw(7)))} of {EACH} places, "
        f"global seed {len(set(answers[0]))} places and {len(set(answers))} answers to {CALLS} calls"
    )
PY
seen=$(
  for version in 1.44.2 2.1.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "polars==$version"
    "$folder/$version/bin/python" "$folder/drawn.py"
  done
)
echo "$seen"
test "$seen" = "$(sed -n 's/^# Seen:     //p; s/^#           \([0-9.]*, \(over\|group_by\).*calls\)$/\1/p' "$0")"
echo "as described"
