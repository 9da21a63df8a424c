"""Items by how often they are among each user's latest training interactions.

What is taken now is taken next: of all that popularity says, the part that has aged is left out.
"""

import numpy as np
import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.evaluation.ranks import Scorer
from fpt_model.simple.past import Past, Tensors
from fpt_model.simple.settings import SimpleConfig

FITTED_BY = ("latest",)


def fit(past: Past, config: SimpleConfig) -> Tensors:
    """(I + 1,) counts."""
    left = np.repeat(past.starts[1:], np.diff(past.starts)) - np.arange(len(past.items))
    latest = past.items[left <= config.latest]
    counts = np.bincount(latest, minlength=past.n_items + 1)
    return {"counts": torch.from_numpy(counts.astype(np.float32))}


def scorer(tensors: Tensors, _: SimpleConfig) -> Scorer:
    """The same scores for everybody."""

    def score(windows: SequenceBatch) -> Tensor:
        return tensors["counts"].expand(len(windows.users), -1)

    return score


def length(_: SimpleConfig) -> int | None:
    """Of the window: what a user had does not matter."""
    return 1
