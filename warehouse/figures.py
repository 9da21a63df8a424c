"""Ranks in, figures out: metrics of each run, of parts of its users, and runs two by two.

Letters: R runs, U users. A score is that of one user: recall@k is 1 when the rank is at most k,
NDCG@k is then 1 / log2(rank + 1), MRR@k is then 1 / rank; each is 0 otherwise.

Every sum runs over the users of one run, or of two, in the order of their ids. So a run's figures
are the same to the bit whichever others are computed beside it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.errors import RefusedError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pair = tuple[str, str]
CUT_OFFS = (1, 5, 10, 20)
K = 10  # of slices and pairs
BLOCK = 1 << 17  # scores subtracted at a time: a megabyte stays in the processor's cache


@dataclass(frozen=True)
class Ranks:
    """Ranks of some runs under one split and protocol.

    Attributes:
        run_ids: R of them.
        users: (U,) ids, ascending: the same users in every run.
        ranks: (R, U).
    """

    run_ids: tuple[str, ...]
    users: Ints
    ranks: NDArray[np.float32]

    def only(self, run_ids: Collection[str]) -> "Ranks":
        """Those of these runs."""
        rows = [row for row, run in enumerate(self.run_ids) if run in run_ids]
        return Ranks(tuple(self.run_ids[row] for row in rows), self.users, self.ranks[rows])


def arrange(run_ids: Sequence[str], rows: pa.Table) -> Ranks:
    """Bring rows of `place` (in `run_ids`), `user_id` and `rank`, in any order, into a matrix.

    Runs without a row are left out.

    Raises:
        RefusedError: a run ranks other users than another, or one of them twice.
    """
    place, user, rank = (rows[name].to_numpy() for name in ("place", "user_id", "rank"))
    width = int(user.max(initial=0)) + 1
    counts = np.bincount(place.astype(np.int64) * width + user, minlength=len(run_ids) * width)
    counts = counts.reshape(len(run_ids), width)
    runs, users = np.flatnonzero(counts.any(1)), np.flatnonzero(counts.any(0))
    ids = tuple(run_ids[run] for run in runs.tolist())
    _same_users(ids, users, counts[np.ix_(runs, users)])
    ranks = np.zeros(counts.shape, np.float32)
    ranks[place, user] = rank
    return Ranks(ids, users, ranks[np.ix_(runs, users)])


def _same_users(run_ids: Sequence[str], users: Ints, counts: Ints) -> None:
    wrong = np.argwhere(counts != 1)
    if len(wrong):
        run, user = wrong[0]
        raise RefusedError(
            "Trainings of one snapshot don't rank the same users",
            got=f"user {users[user]} {counts[run, user]} times in training {run_ids[run]}",
            expected="every user once in each",
            to_do="Train it again: `fpt run` with the same arguments",
        )


def recall(ranks: NDArray[np.float32], k: int) -> Floats:
    """Of each user.

    >>> recall(np.float32([[1, 10, 10.5]]), 10).tolist()
    [[1.0, 1.0, 0.0]]
    """
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: NDArray[np.float32], k: int) -> Floats:
    """Of each user.

    >>> ndcg(np.float32([[1, 3, 10.5]]), 10).tolist()
    [[1.0, 0.5, 0.0]]
    """
    return np.where(ranks <= k, 1 / np.log2(ranks.astype(np.float64) + 1), 0.0)


def mrr(ranks: NDArray[np.float32], k: int) -> Floats:
    """Of each user.

    >>> mrr(np.float32([[1, 2.5, 10.5]]), 10).tolist()
    [[1.0, 0.4, 0.0]]
    """
    return np.where(ranks <= k, 1 / ranks.astype(np.float64), 0.0)


COMPARED: dict[str, Callable[[NDArray[np.float32], int], Floats]] = {
    f"recall_{K}": recall,
    f"ndcg_{K}": ndcg,
}


def metrics(of: Ranks) -> pa.Table:
    """Of each run at each cut-off: the means over users, and how far users lie apart."""
    return pa.concat_tables(_metrics_at(of, k) for k in CUT_OFFS)


def _metrics_at(of: Ranks, k: int) -> pa.Table:
    hits, gains = recall(of.ranks, k), ndcg(of.ranks, k)
    size = len(of.run_ids)
    return pa.table(
        {
            "run_id": pa.array(of.run_ids, pa.string()),
            "k": pa.array([k] * size, pa.int32()),
            "recall": hits.mean(1),
            "ndcg": gains.mean(1),
            "mrr": mrr(of.ranks, k).mean(1),
            "n_users": pa.array([len(of.users)] * size, pa.int64()),
            "recall_sd": _deviation(hits),
            "ndcg_sd": _deviation(gains),
        }
    )


def _deviation(scores: Floats) -> pa.Array:
    """(R,) sample standard deviations over users; null where there is one user."""
    if scores.shape[1] < 2:
        return pa.nulls(len(scores), pa.float64())
    return pa.array(scores.std(1, ddof=1))


def slices(of: Ranks, parts: pa.Table) -> pa.Table:
    """Of each run in each part of each slice.

    Args:
        of: the ranks.
        parts: `user_id`, ascending, and for each slice a column: in which part of it the user is.
            Users that aren't there are in no part.
    """
    known, here, there = np.intersect1d(
        of.users, parts["user_id"].to_numpy(), assume_unique=True, return_indices=True
    )
    scores = {name: score(of.ranks[:, here], K) for name, score in COMPARED.items()}
    rows = parts.take(pa.array(there)) if len(known) else parts.slice(0, 0)
    names = [name for name in parts.column_names if name != "user_id"]
    return pa.concat_tables(_slice(of.run_ids, name, rows[name], scores) for name in names)


def _slice(
    run_ids: Sequence[str], name: str, column: pa.ChunkedArray, scores: dict[str, Floats]
) -> pa.Table:
    coded = column.combine_chunks().dictionary_encode()
    labels, code = coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)
    sizes = np.bincount(code, minlength=len(labels))
    runs, n = len(run_ids), len(labels)
    means = {
        metric: [np.bincount(code, row, n) / sizes for row in rows]
        for metric, rows in scores.items()
    }
    return pa.table(
        {
            "run_id": pa.array([run for run in run_ids for _ in labels], pa.string()),
            "slice": pa.array([name] * (runs * n), pa.string()),
            "bucket": pa.array(labels * runs, pa.string()),
            **{metric: np.concatenate([*rows, np.empty(0)]) for metric, rows in means.items()},
            "n_users": np.tile(sizes, runs),
        }
    )


def pairs(of: Ranks, wanted: Iterable[Pair]) -> pa.Table:
    """Runs two by two, user by user: the mean of their difference and its squared deviations.

    Differences are taken first and squared then. From sums of products, which a matrix product
    would give, little is left of the difference of two models that are nearly equal.

    Args:
        of: the ranks.
        wanted: which runs; those that have no ranks here are left out.
    """
    place = {run: row for row, run in enumerate(of.run_ids)}
    rows = np.array(
        [(place[one], place[other]) for one, other in wanted if one in place and other in place],
        np.int64,
    ).reshape(-1, 2)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return pa.concat_tables(
        _pairs(of, metric, rows, score(of.ranks, K)) for metric, score in COMPARED.items()
    )


def _pairs(of: Ranks, metric: str, rows: Ints, scores: Floats) -> pa.Table:
    means, squares = np.empty(len(rows)), np.empty(len(rows))
    for some in _blocks(rows[:, 0], max(1, BLOCK // max(1, len(of.users)))):
        means[some], squares[some] = _compared(scores[rows[some.start, 0]], scores[rows[some, 1]])
    ids = pa.array(of.run_ids, pa.string())
    return pa.table(
        {
            "run_id": ids.take(pa.array(rows[:, 0])),
            "other_id": ids.take(pa.array(rows[:, 1])),
            "metric": pa.array([metric] * len(rows), pa.string()),
            "difference": means,
            "squares": squares,
            "n_users": pa.array([len(of.users)] * len(rows), pa.int64()),
        }
    )


def _blocks(first: Ints, size: int) -> Iterable[slice]:
    """Stretches of at most `size` rows with the same run in `first`, which is ascending."""
    start = 0
    while start < len(first):
        end = int(np.searchsorted(first, first[start], side="right"))
        yield slice(start, min(end, start + size))
        start = min(end, start + size)


def _compared(one: Floats, others: Floats) -> tuple[Floats, Floats]:
    """(U,) against (B, U): B means of the differences, B sums of their squared deviations."""
    differences = one - others
    means = differences.mean(1)
    differences -= means[:, None]
    differences *= differences
    return means, differences.sum(1)
