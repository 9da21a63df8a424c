#!/usr/bin/env bash
# RePlay: SasRec.predict pads a short history by itself, but with time intervals it pads the times to another shape and raises.
#
# Versions: replay-rec 0.22.0, torch 2.13.0, numpy 2.4.6, pandas 2.3.3.
# Guess:    predict takes histories of up to max_seq_len items, as it does without intervals: it pads the
#           shorter ones on the left. With ti_modification=True it pads the times as well.
# What is:  categorical features are padded to (users, length). All others are padded too, and then get
#           one more dimension, (users, length, 1), which is the shape of the model for vectors. The
#           model takes times as (users, length), in training too, and makes differences of 4 dimensions
#           from the padded ones. It works with a history of exactly max_seq_len items, or when one pads
#           it oneself, so that nothing is left to pad: a test with full windows shows nothing.
# Seen:     without intervals: 3 of 8 items (1, 20), 8 of 8 items (1, 20)
#           with intervals: 3 of 8 items RuntimeError, 8 of 8 items (1, 20), 3 padded to 8 (1, 20)
# Matters:  new users, whose histories are short, are the ones who can't be asked for. It is an error and
#           no wrong number. The class is marked as deprecated in 0.22.0; the one that replaces it has
#           no intervals.
# Source:   run here; replay/models/nn/sequential/sasrec/lightning.py (_prepare_prediction_batch, the
#           unsqueeze of what is not categorical) and model.py (_time_relative_matrix).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'replay-rec[torch]==0.22.0' \
  torch==2.13.0 numpy==2.4.6 pandas==2.3.3
cat > "$folder/short.py" <<'PY'
import torch
from replay.data import FeatureHint, FeatureType
from replay.data.nn import TensorFeatureInfo, TensorSchema
from replay.models.nn.sequential.sasrec import SasRec

ITEMS, LENGTH = 20, 8
SCHEMA = TensorSchema([
    TensorFeatureInfo(
        "item_id", FeatureType.CATEGORICAL, is_seq=True, feature_hint=FeatureHint.ITEM_ID,
        cardinality=ITEMS, padding_value=ITEMS,
    ),
    TensorFeatureInfo(
        "timestamp", FeatureType.NUMERICAL, is_seq=True, feature_hint=FeatureHint.TIMESTAMP,
        tensor_dim=1,
    ),
])  # fmt: skip


def asked(intervals, items, padding=0):
    model = SasRec(SCHEMA, max_seq_len=LENGTH, hidden_size=4, ti_modification=intervals).eval()

    def padded(values, value):
        return torch.nn.functional.pad(values, (padding, 0), value=value)[None]

    places = torch.arange(items)
    batch = {
        "feature_tensor": {"item_id": padded(places, ITEMS), "timestamp": padded(places * 60, 0)},
        "padding_mask": padded(torch.ones(items, dtype=torch.bool), False),
    }
    try:
        with torch.no_grad():
            return tuple(model.predict(batch).shape)
    except RuntimeError as error:
        return type(error).__name__


print(f"without intervals: 3 of 8 items {asked(False, 3)}, 8 of 8 items {asked(False, 8)}")
print(
    f"with intervals: 3 of 8 items {asked(True, 3)}, 8 of 8 items {asked(True, 8)},"
    f" 3 padded to 8 {asked(True, 3, padding=5)}"
)
PY
seen=$("$folder/venv/bin/python" -W ignore "$folder/short.py" 2>"$folder/err") || { cat "$folder/err"; exit 1; }
echo "$seen"
test "$seen" = "without intervals: 3 of 8 items (1, 20), 8 of 8 items (1, 20)
with intervals: 3 of 8 items RuntimeError, 8 of 8 items (1, 20), 3 padded to 8 (1, 20)"
echo "as described"
