"""RecTools' SASRec, eSASRec and HSTU on our split.

    pip install 'rectools[torch]==0.19.0'
    python benchmarks/peers/with_rectools.py steps --model hstu --sequences S --output F
    python benchmarks/peers/with_rectools.py train --model hstu --sequences S --output F

HSTU is configured as in its tutorial, SASRec by the library's defaults, eSASRec as its README says
(LiGR blocks, sampled softmax), all three with windows of 200. HSTU takes the moment of the request
from the held-out rating's own timestamp, in RecTools' own evaluation, too.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_callback import trainer_of
from peer import Peer, Setting
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import HSTUModel, SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.ligr import LiGRLayers
from script import arguments, run
from torch import Tensor
from watches import Watch

from fpt_model.data.sequences import Sequences, Split

LENGTH = 200
PACKAGES = ["rectools", "pytorch-lightning", "numpy", "pandas"]
IDS = {"item_net_block_types": (IdEmbeddingsItemNet,), "session_max_len": LENGTH}
TUTORIAL = {  # transformers_HSTU_tutorial.ipynb
    "lightning_module_kwargs": {"logits_t": 0.05},
    "loss": "sampled_softmax",
    "n_negatives": 128,
    "use_pos_emb": True,
    "dropout_rate": 0.2,
    "n_factors": 50,
    "n_heads": 1,
    "n_blocks": 2,
    "lr": 0.001,
    "batch_size": 128,
}
LIGR = {"transformer_layers_type": LiGRLayers, "loss": "sampled_softmax", "n_negatives": 128}
MODELS: dict[str, tuple[type, dict[str, Any]]] = {
    "sasrec": (SASRecModel, {}),
    "esasrec": (SASRecModel, LIGR),
    "hstu": (HSTUModel, TUTORIAL),
    "hstu_large": (HSTUModel, TUTORIAL | {"n_blocks": 8, "n_heads": 2}),
}


class RecTools(Peer):
    """One of its transformers; its tutorials train deterministically, in float32."""

    own = Setting(deterministic=True)

    def __init__(self, name: str, sequences: Sequences) -> None:
        super().__init__(sequences)
        kind, given = MODELS[name]
        self.model = kind(**IDS | given)
        self.about = {"model": name, **{key: str(value) for key, value in (IDS | given).items()}}
        trainable = int((sequences.n_train >= 2).sum())
        self.steps = -(-trainable // self.model.batch_size)

    def train(self, watch: Watch) -> None:
        """By its own `fit`, with our trainer, as its guide replaces one."""
        model = self.model
        self.dataset = training_part(self.sequences)
        build = model._build_model_from_dataset

        def built(dataset: Dataset) -> None:
            build(dataset)
            self.module = model.lightning_model.torch_model
            self.internal = internal_ids(model, self.sequences)

        model._build_model_from_dataset = built
        model._trainer = trainer_of(Trainer, Callback, self, watch)
        model.fit(self.dataset)

    def scores(self, rows: Tensor, split: Split) -> Tensor:
        """See `Peer`."""
        batch = batch_of(self.sequences, rows, split, self.internal)
        items = self.module.item_model.get_all_embeddings()
        last = self.module.encode_sessions(batch, items)[:, -1:]  # (B, 1, D)
        return self.module.similarity_module(last, items)[:, 0, self.internal]


def training_part(sequences: Sequences) -> Dataset:
    """What it learns from; it sorts by time, stably, so ties stay in our order."""
    lengths = sequences.lengths.cpu()
    owner = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    place = torch.arange(len(owner)) - sequences.starts.cpu()[owner]
    kept = place < sequences.n_train.cpu()[owner]
    seconds = sequences.times.cpu()[kept].numpy()
    frame = {
        Columns.User: (owner[kept] + 1).numpy(),
        Columns.Item: sequences.items.cpu()[kept].numpy(),
        Columns.Weight: 1.0,
        Columns.Datetime: pd.to_datetime(seconds, unit="s"),
    }
    return Dataset.construct(pd.DataFrame(frame))


def internal_ids(model: Any, sequences: Sequences) -> Tensor:
    """(I + 1,) its number of each of our items; 0 is padding in both.

    Raises:
        KeyError: an item is in no training part: it has no number, so no score.
    """
    items = np.arange(1, sequences.n_items + 1)
    found = model.data_preparator.item_id_map.convert_to_internal(items)
    return torch.from_numpy(np.concatenate([[0], found])).to(sequences.device)


def batch_of(sequences: Sequences, rows: Tensor, split: Split, internal: Tensor) -> dict[str, Any]:
    """What its `recommend` makes of the history before a held-out item, asked for at its time."""
    before = sequences.held_out(rows, split)
    windows = sequences.windows(rows, before, LENGTH)
    request = sequences.at("times", sequences.starts[rows] + before)
    times = torch.cat([windows.times, request[:, None]], 1)  # where padded, the first of all
    return {"x": internal[windows.items], "unix_ts": times}


def main() -> None:
    asked = arguments(list(MODELS), __doc__.splitlines()[0])
    warnings.simplefilter("ignore")
    run(asked, lambda sequences: RecTools(asked.model, sequences), PACKAGES)


if __name__ == "__main__":
    main()
