"""Users that no training has seen."""

import torch

from fpt_model.data import Sequences
from fpt_model.model import Encoder

NOBODY = 0  # the row of the user table that no training touches


@torch.no_grad()
def welcome(model: Encoder, sequences: Sequences) -> None:
    """Give user 0, who is nobody in particular, the mean of the trained users' vectors."""
    if model.users is not None:
        trained = sequences.trainable() + 1
        model.users.weight[NOBODY] = model.users.weight[trained].mean(0)
