"""What is learnt after each interaction, where teachers have a say.

A distribution of targets is learnt by drawing from it: each epoch has one item for each
interaction, so engines know of items alone, and the loss is in expectation that of the
distribution.

Letters: L interactions, M draws of the teachers.
"""

import torch
from torch import Tensor

from fpt_model.data.sequences import Sequences


def drawn_targets(
    sequences: Sequences, taught: Tensor, share: float, epoch: int, draw: torch.Generator
) -> Tensor:
    """(L,) items: what came next, or an item that the teachers drew for its place.

    Args:
        sequences: whose training parts; what follows one is learnt nowhere, and may be anything.
        taught: (L, M); epochs take the draws in turn.
        share: of the places that learn of the teachers.
        epoch: from 0.
        draw: on a CPU.
    """
    items = sequences.items.roll(-1)
    asked = torch.rand(len(items), dtype=torch.float64, generator=draw).to(items.device) < share
    column = taught[:, epoch % taught.shape[1]].to(items.device, items.dtype)
    return torch.where(asked, column, items)
