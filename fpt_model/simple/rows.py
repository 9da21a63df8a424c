"""Scores as weighted sums of rows of a matrix, one row for each item of a user's window.

Letters: B users of a batch, T window, I items, K rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.simple.past import Integers, Tensors

AT_ONCE = 1 << 29  # bytes of rows that are made dense at a time
NEGLIGIBLE = 24  # halvings after which a weight is below a float32's rounding


@dataclass(frozen=True)
class SparseRows:
    """K rows of I + 1 numbers, most of them 0: row r's are entries `starts[r]` to `starts[r + 1]`.

    Attributes:
        starts: (K + 1,) int64.
        columns: (entries,) int32, ascending within a row.
        values: (entries,) float32.
        width: I + 1.
    """

    starts: Integers
    columns: np.ndarray
    values: np.ndarray
    width: int

    def dense(self, rows: Integers) -> Tensor:
        """Some rows as they are, (len(rows), I + 1)."""
        first, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        steps = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        place = np.repeat(first, lengths) + steps
        found = np.zeros((len(rows), self.width), np.float32)
        found[owner, self.columns[place]] = self.values[place]
        return torch.from_numpy(found)

    def sums(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Of each user's rows (B, T) with their weights the sum, (B, I + 1)."""
        at_once = max(AT_ONCE // (4 * self.width * min(rows.shape[1], len(self.starts))), 1)
        parts = zip(rows.split(at_once), weights.split(at_once), strict=True)
        return torch.cat([self._sums(some, theirs) for some, theirs in parts])

    def _sums(self, rows: Tensor, weights: Tensor) -> Tensor:
        needed, found = np.unique(rows.numpy(), return_inverse=True)
        place = torch.from_numpy(found.reshape(rows.shape))
        return F.embedding_bag(place, self.dense(needed), per_sample_weights=weights, mode="sum")


def times(windows: SequenceBatch, half_life: float, matrix: Tensor) -> Tensor:
    """Profiles weighted by recency, times a matrix (I + 1, I + 1)."""
    profiles = torch.zeros(len(windows.users), len(matrix))
    profiles.scatter_add_(1, windows.items, recency(windows, half_life))
    return profiles @ matrix


def sparse(rows: Sequence[tuple[np.ndarray, np.ndarray]], width: int) -> SparseRows:
    """Rows from the columns and values of each."""
    starts = np.concatenate([[0], np.cumsum([len(columns) for columns, _ in rows])])
    columns = np.concatenate([columns for columns, _ in rows]).astype(np.int32, copy=False)
    values = np.concatenate([values for _, values in rows]).astype(np.float32, copy=False)
    return SparseRows(starts.astype(np.int64), columns, values, width)


def turned(rows: SparseRows) -> SparseRows:
    """Rows and columns of a square matrix changed over."""
    owner = np.repeat(np.arange(rows.width, dtype=np.int32), np.diff(rows.starts))
    order = np.argsort(rows.columns, kind="stable")
    of_column = np.bincount(rows.columns, minlength=rows.width)
    starts = np.concatenate([[0], np.cumsum(of_column)])
    return SparseRows(starts, owner[order], rows.values[order], rows.width)


def tensors_of(rows: SparseRows) -> Tensors:
    """As a file keeps them."""
    parts = {"starts": rows.starts, "columns": rows.columns, "values": rows.values}
    return {name: torch.from_numpy(part) for name, part in parts.items()}


def rows_of(tensors: Tensors, width: int) -> SparseRows:
    """What `tensors_of` gave."""
    starts, columns, values = (tensors[name].numpy() for name in ("starts", "columns", "values"))
    return SparseRows(starts, columns, values, width)


def recency(windows: SequenceBatch, half_life: float) -> Tensor:
    """Weights (B, T), halved by every so many later items; 0 where padded."""
    length = windows.items.shape[1]
    halvings = torch.arange(length - 1, -1, -1) / half_life if half_life else torch.zeros(length)
    return torch.where(windows.items > 0, 0.5**halvings, 0.0).float()


def window_length(half_life: float) -> int | None:
    """Places of a window whose weight counts; None for the whole history."""
    return max(int(np.ceil(NEGLIGIBLE * half_life)), 1) if half_life else None
