"""The baseline that knows only how often an item was taken in training."""

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.evaluation.ranks import Scorer


def popularity(sequences: Sequences) -> Scorer:
    """A scorer that gives every user the same scores: training counts of the items."""
    *_, trained = sequences.trained()
    counts = torch.bincount(trained, minlength=sequences.n_items + 1).float().to(sequences.device)

    def score(windows: SequenceBatch) -> Tensor:
        return counts.expand(len(windows.users), -1)

    return score
