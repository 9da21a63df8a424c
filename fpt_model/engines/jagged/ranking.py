"""Windows before held-out items, cut from the interactions that steps read too.

Whom a split ranks is the same at every validation, so all of it is laid out once.

Letters: N users, B of a batch, D width, I items.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import Sequences, Split
from fpt_model.engines.gpu.ranks import Candidates
from fpt_model.engines.jagged.plan import Histories
from fpt_model.engines.jagged.workspace import Workspace
from fpt_model.evaluation.ranks import BATCH, evaluated, users_at_once

IN_A_GRAPH = 2**15  # windows at most: a graph keeps what it allocates


@dataclass
class Windows:
    """Those of a split, and what ranking them writes.

    Attributes:
        rows: (N,) of users.
        steps: (batches, ROWS, B + 1) int32; see `plan.Plan`.
        last: (batches, B) int64, the last token of each window.
        features: (batches * B, D) float32, gets what scores are products with; what fills up the
            last batch follows the N users.
        tokens: of a batch, those that fill it up included: as many as the longest one of any split
            has. One number for all, as the shape of a product can change its rounding.
        workspace: of so many tokens or more.
        candidates: of the users `users_at_once` takes at a time.
        launched: whether all has run, and so has been compiled.
        graph: of the launches, and what it reads that may be replaced; None before there is one.
    """

    rows: Tensor
    steps: Tensor
    last: Tensor
    features: Tensor
    tokens: int
    workspace: Workspace
    candidates: list[Candidates]
    launched: bool = False
    graph: Any = None


def longest_batch(histories: Histories, sequences: Sequences, config: Config) -> int:
    """Tokens of the longest batch: of test, which looks back on one more than validation does."""
    rows = evaluated(sequences)
    ends = sequences.held_out(rows, "test")
    return max(histories.plan(rows.cpu(), ends.cpu(), config.max_length, BATCH).tokens)


def windows_of(
    histories: Histories,
    sequences: Sequences,
    split: Split,
    config: Config,
    tokens: int,
    workspace: Workspace,
) -> Windows:
    """All windows of a split.

    Args:
        histories: of the sequences.
        sequences: on the device.
        split: which held-out items.
        config: settings.
        tokens, workspace: see `Windows`.
    """
    rows, device = evaluated(sequences), sequences.device
    ends = sequences.held_out(rows, split)
    steps = histories.plan(rows.cpu(), ends.cpu(), config.max_length, BATCH).steps
    ends_of_windows = steps[:, 0, 1:].long()
    return Windows(
        rows,
        steps.to(device),
        (ends_of_windows - 1).to(device),
        torch.zeros(len(steps) * BATCH, config.width, device=device),
        tokens,
        workspace,
        [Candidates(sequences, some, split) for some in rows.split(_size(sequences))],
    )


def scores_of(windows: Windows, sequences: Sequences, items: Tensor) -> Iterator[Tensor]:
    """Of some users after the others, each of all items, (users, I + 1).

    Args:
        windows: with their features.
        sequences: see `windows_of`.
        items: (I + 1, columns) float32.
    """
    size, n = _size(sequences), len(windows.rows)
    features = windows.features[:, : items.shape[1]]
    for first in range(0, n, size):
        some = features[first : first + size]
        filled = torch.nn.functional.pad(some, (0, 0, 0, size - len(some)))
        yield (filled @ items.T)[: min(size, n - first)]


def _size(sequences: Sequences) -> int:
    return users_at_once(sequences.n_items)
