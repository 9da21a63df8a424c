r"""The public TiSASRec.pytorch on our split, at the sizes and settings of its own main.py.

    git clone https://github.com/pmixer/TiSASRec.pytorch
    python benchmarks/peers/with_tisasrec_pytorch.py steps --model tisasrec --sequences S \
        --output F --reference TiSASRec.pytorch

Model, sampler processes and reader are its own (`benchmarks/reference.py`); users are ranked many
at a time instead of one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer import Peer
from script import arguments, run
from torch import Tensor
from watches import Watch

from fpt_model.config import resolve
from fpt_model.data.sequences import Sequences, Split

from reference import SAMPLERS, Reference  # isort: skip  # found where `peer` has put its folder on the path


class TiSASRecPyTorch(Peer):
    """Its training.

    Args:
        folder: a checkout.
        sequences: on the device to train on.
    """

    def __init__(self, folder: Path, sequences: Sequences) -> None:
        super().__init__(sequences)
        self.reference = Reference(folder, sequences, sequences.device)
        refuse_other_numbers(self.reference.data, sequences)
        self.module, self.optimizer = self.reference.model, self.reference.optimizer
        self.steps = sequences.n_users // resolve("tisasrec", "paper").batch_size
        self.about = dict(vars(self.reference.settings)) | {"n_workers": SAMPLERS}

    def train(self, watch: Watch) -> None:
        """The loop of its main.py."""
        while True:
            watch.begin_epoch()
            for _ in range(self.steps):
                self.reference.step()
                watch.after_step()
            watch.end_epoch()

    def scores(self, rows: Tensor, split: Split) -> Tensor:
        """See `Peer`."""
        settings = self.reference.settings
        users, items, times = histories(self.reference.data, rows.tolist(), split, settings.maxlen)
        matrices = np.abs(times[:, :, None] - times[:, None, :]).clip(max=settings.time_span)
        last = self.module.seq2feats(users, items, matrices)[:, -1]
        return last @ self.module.item_emb.weight.T

    def close(self) -> None:
        """Its samplers."""
        self.reference.sampler.close()


def histories(data: Any, rows: Sequence[int], split: Split, length: int) -> tuple[Any, ...]:
    """Users (B,), and items and times (B, T) before a held-out item, as its evaluation has them."""
    train, valid = data[0], data[1]
    users = np.array(rows) + 1
    items, times = np.zeros((2, len(users), length), np.int32)
    for place, user in enumerate(users.tolist()):
        before = [*train[user], *(valid[user] if split == "test" else [])][-length:]
        items[place, -len(before) :] = [item for item, _ in before]
        times[place, -len(before) :] = [time for _, time in before]
    return users, items, times


def refuse_other_numbers(data: Any, sequences: Sequences) -> None:
    """Its reader numbers users and items anew; their scores are compared by ours.

    Raises:
        ValueError: it numbers them otherwise than we do.
    """
    starts, items = sequences.starts.tolist(), sequences.items.tolist()
    for user in range(1, sequences.n_users + 1):
        theirs = [item for part in data[:3] for item, _ in part[user]]
        if theirs != items[starts[user - 1] : starts[user]]:
            raise ValueError(f"Its reader says otherwise what user {user} had, or in what order")


def main() -> None:
    asked = arguments(["tisasrec"], __doc__.splitlines()[0])
    torch.manual_seed(0)
    run(asked, lambda sequences: TiSASRecPyTorch(asked.reference, sequences), ["numpy"])


if __name__ == "__main__":
    main()
