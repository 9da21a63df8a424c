#!/usr/bin/env bash
# implicit: items that are filtered out are recommended all the same when too few others are left.
#
# Versions: implicit 0.7.3, scipy 1.17.1, numpy 2.4.6.
# Guess:    recommend(…, filter_already_liked_items=True, N=5) of a user for whom one item is left gives
#           that one, or five with a mark that says which are none.
# What is:  it gives five. Those of factor models that should have been left out have the score
#           -3.4028235e+38, the smallest float; those of neighbour models have 0, which is a score that
#           items left in have too, so that nothing tells them apart. filter_items, for items that are
#           sold out, say, is kept by the same means in factor models and really left out by neighbour
#           models. The list is always N long, and its mean score may be -2.7e+38.
# Seen:     ALS 1 new, 4 seen before (score -3.4028235e+38); 5 with the one new item forbidden as well: 10 is there
#           Cosine 1 new, 4 seen before (score 0.0); 5 with the one new item forbidden as well: 10 is not there
# Matters:  in a small catalogue, or for the most active users, lists show what was bought; lists kept
#           by rank alone, without scores, give no sign of it.
# Source:   run here; implicit/utils.py and implicit/nearest_neighbours.py fill up with the smallest float.
#           The docstring in implicit/recommender_base.py says that such items are not returned.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  implicit==0.7.3 scipy==1.17.1 numpy==2.4.6
seen=$(OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender

seen = np.zeros((6, 12), dtype=np.float32)
seen[0] = 1
seen[0, 10] = 0  # one item is left for user 0
for user in range(1, 6):
    seen[user, [user, user + 1, user + 3, 10]] = 1
seen = sp.csr_matrix(seen)
for name, model in {
    "ALS": AlternatingLeastSquares(factors=4, iterations=3, random_state=0, num_threads=1),
    "Cosine": CosineRecommender(K=12),
}.items():
    model.fit(seen, show_progress=False)
    items, scores = model.recommend(0, seen[0], N=5, filter_already_liked_items=True)
    old = np.isin(items, seen[0].indices)
    (score,) = set(scores[old].tolist())
    shown = str(np.float32(score))
    none, _ = model.recommend(0, seen[0], N=12, filter_already_liked_items=True, filter_items=[10])
    print(
        f"{name} {(~old).sum()} new, {old.sum()} seen before (score {shown}); {len(items)} with the one"
        f" new item forbidden as well: 10 is {'there' if 10 in none else 'not there'}"
    )
PY
)
echo "$seen"
test "$seen" = "ALS 1 new, 4 seen before (score -3.4028235e+38); 5 with the one new item forbidden as well: 10 is there
Cosine 1 new, 4 seen before (score 0.0); 5 with the one new item forbidden as well: 10 is not there"
echo "as described"
