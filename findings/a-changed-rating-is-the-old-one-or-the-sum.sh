#!/usr/bin/env bash
# A user who changes a rating from 5 stars to 1 has 5 in cornac and 6 in RecTools, which trains on it.
#
# Versions: cornac 3.0.1; rectools 0.19.0 (with NumPy 1.26.4), implicit 0.7.3.
# Guess:    of two rows of one user and item the last counts, or the library says that there are two.
# What is:  cornac keeps the first row, with a warning that duplicates were removed but not which one
#           stays: the rating that the user withdrew. RecTools keeps both rows, and the matrix that its
#           models train on is a sparse one, in which entries of the same place are added up: 6 of 5
#           stars, and 2 where weights are not asked for, so a changed mind is twice the confidence.
#           Its popularity is 2 by n_users and 3 by n_interactions for the same item.
# Seen:     cornac 5.0 of 4 rows; RecTools 6.0 of 5 rows, without weights 2.0, popularity 2.0 or 3.0
# Matters:  two libraries given one file train on other data; comparing their figures compares that.
# Source:   run here; cornac/data/dataset.py (Dataset.build keeps a pair that it has not seen yet);
#           rectools/dataset/interactions.py (get_csr_matrix). RecTools' documentation speaks of
#           interactions and not of their repetition.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {
  python3 -m venv "$folder/$1"
  "$folder/$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
}
install cornac cornac==3.0.1
install rectools rectools==0.19.0 implicit==0.7.3 numpy==1.26.4 pandas==2.3.3 scipy==1.17.1
cat > "$folder/rows.py" <<'PY'
ROWS = [("a", "x", 5.0), ("a", "x", 1.0), ("a", "y", 4.0), ("b", "x", 3.0), ("b", "y", 2.0)]
PY
cat > "$folder/with_cornac.py" <<'PY'
from cornac.data import Dataset
from rows import ROWS

data = Dataset.from_uir(ROWS)
rating = data.matrix[data.uid_map["a"], data.iid_map["x"]]
print(f"cornac {rating} of {data.num_ratings} rows")
PY
cat > "$folder/with_rectools.py" <<'PY'
import pandas as pd
from rectools.dataset import Dataset
from rectools.models import PopularModel
from rows import ROWS

frame = pd.DataFrame(ROWS, columns=["user_id", "item_id", "weight"]).assign(datetime="2026-01-01")
data = Dataset.construct(frame)
matrix = data.get_user_item_matrix()
user, item = data.user_id_map.convert_to_internal(["a"])[0], data.item_id_map.convert_to_internal(["x"])[0]
without = data.get_user_item_matrix(include_weights=False)


def popularity(by):
    lists = PopularModel(popularity=by).fit(data).recommend(["b"], data, k=2, filter_viewed=False)
    return lists.set_index("item_id").score["x"]


print(
    f"RecTools {matrix[user, item]} of {len(data.interactions.df)} rows, without weights"
    f" {without[user, item]}, popularity {popularity('n_users')} or {popularity('n_interactions')}"
)
PY
cd "$folder"
seen="$(cornac/bin/python -W ignore with_cornac.py 2>/dev/null | tail -n 1); $(rectools/bin/python -W ignore with_rectools.py 2>/dev/null | tail -n 1)"
echo "$seen"
test "$seen" = "cornac 5.0 of 4 rows; RecTools 6.0 of 5 rows, without weights 2.0, popularity 2.0 or 3.0"
echo "as described"
