#!/usr/bin/env bash
# RecTools: in validation HSTU sees each short history's first item at the time of its second, unlike in training and recommend().
#
# Versions: rectools 0.19.0 with pytorch-lightning 2.5.2, torch 2.13.0, numpy 1.26.4, pandas 2.3.3.
# Guess:    one history with one held-out item is one input, whether it is validated or recommended for.
# What is:  the batch of validation drops the first timestamp of every user, and then fills the padding
#           and the place of the first item with the second timestamp. That is right only where the
#           history is longer than session_max_len, so that its first item falls out of the window.
#           Every other history looks as if its first two items had come at one time. Training and
#           recommend() have the right times.
# Seen:     seconds since the start, of a history of 3 in a window of 5, and of the held-out item:
#           training    [0, 0, 0, 0, 50000, 50060]
#           validation  [50000, 50000, 50000, 50000, 50060, 50120]
#           recommend() [0, 0, 0, 50000, 50060, 50120]
#           the same items: True; the same scores: False
#           of a history of 6, the same times: True; the same scores: True
# Matters:  val_loss, and what callbacks compute in validation, is of another input than the model is
#           asked with later. Early stopping and the choice of a checkpoint follow it. It is one
#           timestamp a user, so a difference is small where histories are long.
# Source:   run here; rectools/models/nn/transformers/sasrec.py, SASRecDataPreparator, whose
#           _collate_fn_val takes extras["unix_ts"][1:] where the other two take all. HSTU, with
#           add_unix_ts, is the only model of the library that reads these times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'rectools[torch]==0.19.0' \
  pytorch-lightning==2.5.2 torch==2.13.0 numpy==1.26.4 pandas==2.3.3
cat > "$folder/batches.py" <<'PY'
import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.dataset.context import get_context
from rectools.models import HSTUModel
from rectools.models.nn.transformers.utils import leave_one_out_mask

START = 1_700_000_000
TAKEN = {
    "short": [("a", 0), ("b", 50_000), ("c", 50_060), ("d", 50_120)],
    "long": [("c", 0), ("d", 100), ("e", 300), ("f", 700), ("a", 1500), ("b", 3100), ("d", 6300)],
}
rows = pd.DataFrame(
    [(user, item, START + at, 1.0) for user, taken in TAKEN.items() for item, at in taken],
    columns=[Columns.User, Columns.Item, Columns.Datetime, Columns.Weight],
)
rows[Columns.Datetime] = pd.to_datetime(rows[Columns.Datetime], unit="s")
held_out = leave_one_out_mask(rows)

seed_everything(1)
model = HSTUModel(
    n_factors=8, n_heads=1, n_blocks=1, session_max_len=5, epochs=1,
    get_val_mask_func=leave_one_out_mask,
)  # fmt: skip
model.fit(Dataset.construct(rows))
prepare = model.data_preparator
before = Dataset.construct(rows[~held_out])
asked = prepare.transform_dataset_u2i(before, list(TAKEN), get_context(rows[held_out]))
loaders = {
    "training": prepare.get_dataloader_train(),
    "validation": prepare.get_dataloader_val(),
    "recommend()": prepare.get_dataloader_recommend(asked, 2),
}


def batch(loader):
    """Its batch, the short history first: it alone has padding."""
    (both,) = loader
    first = (both["x"] == 0).any(1).int().argsort(descending=True)
    return {name: both[name][first] for name in ("x", "unix_ts")}


def scores(batch):
    net = model.lightning_model.torch_model.eval()
    items = net.item_model.get_all_embeddings()
    return net.similarity_module(net.encode_sessions(batch, items)[:, -1:], items)


batches = {name: batch(loader) for name, loader in loaders.items()}
for name, one in batches.items():
    print(f"{name:11} {(one['unix_ts'][0] - START).tolist()}")
validated, recommended = batches["validation"], batches["recommend()"]
with torch.no_grad():
    theirs, ours = scores(validated), scores(recommended)
items, times = ((validated[name] == recommended[name]).all(1).tolist() for name in ("x", "unix_ts"))
same = [torch.allclose(theirs[user], ours[user]) for user in range(2)]
print(f"the same items: {all(items)}; the same scores: {same[0]}")
print(f"of a history of 6, the same times: {times[1]}; the same scores: {same[1]}")
PY
seen=$("$folder/venv/bin/python" -W ignore "$folder/batches.py" 2>"$folder/err") \
  || { cat "$folder/err"; exit 1; }
echo "$seen"
test "$seen" = "training    [0, 0, 0, 0, 50000, 50060]
validation  [50000, 50000, 50000, 50000, 50060, 50120]
recommend() [0, 0, 0, 50000, 50060, 50120]
the same items: True; the same scores: False
of a history of 6, the same times: True; the same scores: True"
echo "as described"
