#!/usr/bin/env bash
# RecTools: making a model turns torch's deterministic algorithms off, for those that were made before it too.
#
# Versions: rectools 0.19.0 with pytorch-lightning 2.5.2, torch 2.13.0, numpy 1.26.4, pandas 2.3.3.
# Guess:    torch.use_deterministic_algorithms(True) holds until somebody turns it off; `deterministic` is
#           a property of the model that was made with it, and concerns its fit.
# What is:  a transformer makes its Lightning trainer in its constructor, and hands over
#           deterministic=False unless told otherwise. A trainer that is told nothing leaves torch's
#           setting alone; told False, it turns it off at once, and nothing sets it again when a model is
#           fitted. So SASRecModel() undoes the line above it, and of a dictionary of models for
#           cross_validate the last one made decides how all of them train.
# Seen:     use_deterministic_algorithms(True), then Trainer(): True; then SASRecModel(): False
#           deterministic=True, fitted at once: trains with True
#           deterministic=True, fitted after another model was made: trains with False
#           deterministic=False, fitted after one was made with True: trains with True
# Matters:  figures with a fixed seed may differ from run to run on a GPU, though asked not to; or a
#           model pays for determinism that nobody asked for: we saw eight times the time of a step of
#           RecTools' HSTU on an H200.
# Source:   run here; rectools/models/nn/transformers/base.py (_init_trainer), and _set_torch_flags in
#           pytorch_lightning/trainer/connectors/accelerator_connector.py. RecTools' documentation says
#           that the flag is passed to the trainer when that is made, not that it is of the process.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'rectools[torch]==0.19.0' \
  pytorch-lightning==2.5.2 torch==2.13.0 numpy==1.26.4 pandas==2.3.3
cat > "$folder/made.py" <<'PY'
import pandas as pd
import torch
from pytorch_lightning import Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.lightning import TransformerLightningModule

enabled = torch.are_deterministic_algorithms_enabled
rows = [(user, item, f"2026-01-0{item}", 1.0) for user in "ab" for item in (1, 2, 3)]
columns = [Columns.User, Columns.Item, Columns.Datetime, Columns.Weight]
data = Dataset.construct(pd.DataFrame(rows, columns=columns))
trained_with = []


class Watched(TransformerLightningModule):
    def on_train_start(self):
        trained_with.append(enabled())


def model(deterministic):
    return SASRecModel(
        n_factors=4, n_heads=1, n_blocks=1, session_max_len=3, epochs=1,
        deterministic=deterministic, lightning_module_type=Watched,
    )  # fmt: skip


torch.use_deterministic_algorithms(True)
Trainer(logger=False, enable_checkpointing=False)
kept = enabled()
SASRecModel()
print(f"use_deterministic_algorithms(True), then Trainer(): {kept}; then SASRecModel(): {enabled()}")

model(True).fit(data)
first = model(True)
model(False)
first.fit(data)
first = model(False)
model(True)
first.fit(data)
for how, what in zip(
    (
        "deterministic=True, fitted at once",
        "deterministic=True, fitted after another model was made",
        "deterministic=False, fitted after one was made with True",
    ),
    trained_with,
    strict=True,
):
    print(f"{how}: trains with {what}")
PY
seen=$("$folder/venv/bin/python" -W ignore "$folder/made.py" 2>"$folder/err") || { cat "$folder/err"; exit 1; }
echo "$seen"
test "$seen" = "use_deterministic_algorithms(True), then Trainer(): True; then SASRecModel(): False
deterministic=True, fitted at once: trains with True
deterministic=True, fitted after another model was made: trains with False
deterministic=False, fitted after one was made with True: trains with True"
echo "as described"
