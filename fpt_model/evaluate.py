"""Ranks of held-out items under both protocols, from one score of every item.

Letters: B users of a batch, I items, C candidates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fpt_model.data import Sequences, Split, Windows
from fpt_model.errors import ModelError

Protocol = Literal["uniform_100", "full"]
Scorer = Callable[[Windows], Tensor]
"""Windows of B users to the scores of every item, (B, I + 1); column 0 is padding."""

# Fixed, and the last batch is filled up: the shape of a product can change its rounding, and a
# rank must not depend on who else is ranked.
BATCH = 256


@dataclass(frozen=True)
class Ranks:
    """Ranks of one split.

    Attributes:
        users: (N,) ids of the users with a held-out item.
        ranks: for each protocol (N,) float32.
        n_candidates: for each protocol (N,) int64, the held-out item included.
    """

    users: Tensor
    ranks: dict[Protocol, Tensor]
    n_candidates: dict[Protocol, Tensor]


def rank(score: Scorer, sequences: Sequences, split: Split, length: int) -> Ranks:
    """Rank each user's held-out item.

    Rank = 1 + candidates scored higher + half of those scored equal, so a constant score gets the
    expected rank of chance. The authors' `argsort().argsort()[0]` can put the target first.

    Args:
        score: the model.
        sequences: on the model's device.
        split: which held-out item; what lies before it is the input.
        length: of the window.

    Raises:
        ModelError: there is nobody to evaluate, or a score is NaN.
    """
    rows = sequences.evaluated()
    if not len(rows):
        raise ModelError("Nobody has held-out items", expected="users with three interactions")
    parts: dict[Protocol, list[Tensor]] = {"uniform_100": [], "full": []}
    counts: dict[Protocol, list[Tensor]] = {"uniform_100": [], "full": []}
    for chosen, scores in scored(score, sequences, rows, split, length):
        target = sequences.items[sequences.starts[chosen] + sequences.held_out(chosen, split)]
        for protocol, values in _candidate_scores(sequences, chosen, split, scores).items():
            own = scores.gather(1, target[:, None])  # (B, 1)
            # higher less lower, of all columns: higher + equal / 2 is half of them and the columns
            lead = torch.sub(values, own).sign_().sum(1)
            parts[protocol].append(1 + (lead + values.shape[1]) / 2)
            counts[protocol].append(1 + (values > float("-inf")).sum(1))
    return Ranks(
        users=rows + 1,
        ranks={name: torch.cat(values).float() for name, values in parts.items()},
        n_candidates={name: torch.cat(values) for name, values in counts.items()},
    )


@torch.no_grad()
def scored(
    score: Scorer, sequences: Sequences, rows: Tensor, split: Split, length: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of user rows (B,) with the scores of every item, (B, I + 1)."""
    for chosen in rows.split(BATCH):
        filled = torch.cat([chosen, chosen[:1].expand(BATCH - len(chosen))])
        windows = sequences.windows(filled, sequences.held_out(filled, split), length)
        scores = score(windows)[: len(chosen)]
        if not torch.isfinite(torch.stack(scores.aminmax())).all():
            raise ModelError("A score is not a number", to_do="Train again with a lower rate")
        yield chosen, scores


def _candidate_scores(
    sequences: Sequences, rows: Tensor, split: Split, scores: Tensor
) -> dict[Protocol, Tensor]:
    """Scores of the candidates besides the target; -inf where there is none."""
    minus_infinity = float("-inf")
    everyone = scores.clone()
    everyone[:, 0] = minus_infinity
    lengths = sequences.lengths[rows]
    owner = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), lengths)
    first = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    place = torch.arange(len(owner), device=rows.device) - first + sequences.starts[rows][owner]
    everyone[owner, sequences.items[place]] = minus_infinity  # the whole history, target included
    candidates = sequences.candidates[split][rows]  # (B, C)
    drawn = scores.gather(1, candidates).masked_fill(candidates == 0, minus_infinity)
    return {"uniform_100": drawn, "full": everyone}
