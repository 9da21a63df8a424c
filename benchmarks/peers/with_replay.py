"""RePlay's SasRec with time intervals, its TiSASRec, on our split.

    pip install 'replay-rec[torch]==0.22.0'
    python benchmarks/peers/with_replay.py steps --model tisasrec --sequences S --output F

No tutorial of RePlay trains it with intervals: sizes are TiSASRec's (T = 50, B = 128), the rest its
defaults (D = 50, two blocks, cross-entropy over all items), with four loaders as in its tutorial of
SASRec. Its model clips differences of whatever times it gets at 256: it gets those in units of the
user's own shortest gap, as the paper of TiSASRec has them.
"""

import warnings
from typing import Any

import pandas as pd
import torch
from lightning import Callback, Trainer
from lightning_callback import trainer_of
from peer import Peer
from replay.data import FeatureHint, FeatureType
from replay.data.nn import PandasSequentialDataset, TensorFeatureInfo, TensorSchema
from replay.models.nn.sequential.sasrec import SasRec, SasRecTrainingDataset
from script import arguments, run
from torch import Tensor
from torch.utils.data import DataLoader
from watches import Watch

from fpt_model.data.sequences import Sequences, Split

LENGTH, BATCH, LOADERS = 50, 128, 4


class RePlay(Peer):
    """Its TiSASRec."""

    def __init__(self, sequences: Sequences) -> None:
        super().__init__(sequences)
        self.steps = -(-int((sequences.n_train >= 2).sum()) // BATCH)
        schema = schema_of(sequences.n_items)
        self.model = SasRec(schema, max_seq_len=LENGTH, ti_modification=True)
        self.module = self.model._model
        self.about = {"max_seq_len": LENGTH, "batch_size": BATCH, "ti_modification": True}
        self.about |= {"num_workers": LOADERS}
        frames = PandasSequentialDataset(schema, "user_id", "item_id", training_part(sequences))
        self.loader = DataLoader(
            SasRecTrainingDataset(frames, LENGTH),
            batch_size=BATCH,
            shuffle=True,
            num_workers=LOADERS,
            pin_memory=sequences.device.type == "cuda",
        )

    def train(self, watch: Watch) -> None:
        """By its Lightning module and a trainer, as its tutorial does."""
        trainer_of(Trainer, Callback, self, watch).fit(self.model, self.loader)

    def scores(self, rows: Tensor, split: Split) -> Tensor:
        """See `Peer`."""
        windows = self.sequences.windows(rows, self.sequences.held_out(rows, split), LENGTH)
        real = windows.items > 0
        features = {
            "item_id": (windows.items - 1).clamp(min=0),
            "timestamp": in_units(windows.times, windows.scales[:, None]),
        }
        found = self.module.predict(features, real)
        return torch.cat([found[:, :1], found], 1)  # its items are from 0; nobody ranks padding


def schema_of(n_items: int) -> TensorSchema:
    """Of items from 0, padded by the next number, and times."""
    item = TensorFeatureInfo(
        "item_id",
        FeatureType.CATEGORICAL,
        is_seq=True,
        feature_hint=FeatureHint.ITEM_ID,
        cardinality=n_items,
        padding_value=n_items,
    )
    time = TensorFeatureInfo(
        "timestamp",
        FeatureType.NUMERICAL,
        is_seq=True,
        feature_hint=FeatureHint.TIMESTAMP,
        tensor_dim=1,
    )
    return TensorSchema([item, time])


def in_units(times: Tensor, scales: Tensor) -> Tensor:
    """Times since a user's first, in whole units of the user's shortest gap.

    >>> in_units(torch.tensor([0, 29, 31, 60]), torch.tensor(60)).tolist()
    [0, 0, 1, 1]
    """
    return (times + scales // 2) // scales


def training_part(sequences: Sequences) -> pd.DataFrame:
    """A row a user: what it learns from."""
    users = range(sequences.n_users)
    starts, n_train = sequences.starts.tolist(), sequences.n_train.tolist()
    items = (sequences.items - 1).cpu().numpy()
    scales = torch.repeat_interleave(sequences.scales, sequences.lengths)
    times = in_units(sequences.times, scales).cpu().numpy()
    spans = [slice(starts[user], starts[user] + n_train[user]) for user in users]
    rows: dict[str, Any] = {
        "user_id": list(users),
        "item_id": [items[span] for span in spans],
        "timestamp": [times[span] for span in spans],
    }
    frame = pd.DataFrame(rows)
    return frame[[length >= 2 for length in n_train]]


def main() -> None:
    asked = arguments(["tisasrec"], __doc__.splitlines()[0])
    warnings.simplefilter("ignore")
    run(asked, RePlay, ["replay-rec", "lightning", "numpy", "pandas"])


if __name__ == "__main__":
    main()
