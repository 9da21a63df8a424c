"""Ranks in, figures out: metrics of each run, of parts of its users, and runs two by two.

Letters: R runs, U users. A score is that of one user: recall@k is 1 when the rank is at most k,
NDCG@k is then 1 / log2(rank + 1), MRR@k is then 1 / rank; each is 0 otherwise. Precision@k is
recall@k / k, and MAP@k is MRR@k: a user has one held-out item.

Every sum runs over the users of one run in the order of their ids, or is exact. So a run's figures
are the same to the bit whichever others are computed beside it.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.errors import RefusedError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pair = tuple[str, str]
CUT_OFFS = (1, 5, 10, 20)
K = 10  # of slices and pairs
DIGITS = 12  # decimals of scores that are compared: neighbours below rank 10 are .006 apart
UNITS, HALF = 10**DIGITS, 10 ** (DIGITS // 2)
BLOCK = 2048  # users: sums of so many products of halves stay below 2 ** 53


@dataclass(frozen=True)
class Ranks:
    """Ranks of some runs under one split and protocol.

    Attributes:
        run_ids: R of them.
        users: (U,) ids, ascending: the same users in every run.
        ranks: (R, U).
        candidates: (R, U), how many items each rank is among.
        known_to: of runs that come from lists, the place up to which ranks are known; what is
            unknown is infinite.
    """

    run_ids: tuple[str, ...]
    users: Ints
    ranks: NDArray[np.float32]
    candidates: NDArray[np.float32]
    known_to: Mapping[str, int] = field(default_factory=dict)

    def only(self, run_ids: Collection[str]) -> "Ranks":
        """Those of these runs."""
        rows = [row for row, run in enumerate(self.run_ids) if run in run_ids]
        ids = tuple(self.run_ids[row] for row in rows)
        return Ranks(ids, self.users, self.ranks[rows], self.candidates[rows], self.known_to)

    @property
    def ends(self) -> Floats:
        """(R,) the last place at which ranks of each run are known."""
        return np.array([self.known_to.get(run, np.inf) for run in self.run_ids], np.float64)


def arrange(
    run_ids: Sequence[str], rows: pa.Table, known_to: Mapping[str, int] | None = None
) -> Ranks:
    """Bring rows of `place` (in `run_ids`), `user_id`, `rank` and `n_candidates` into matrices.

    Runs without a row are left out. `known_to` says up to which place ranks are known, of runs that
    come from lists; of the others all are.

    Raises:
        RefusedError: a run ranks other users than another, or one of them twice.
    """
    place, user = (rows[name].to_numpy() for name in ("place", "user_id"))
    width = int(user.max(initial=0)) + 1
    counts = np.bincount(place.astype(np.int64) * width + user, minlength=len(run_ids) * width)
    counts = counts.reshape(len(run_ids), width)
    runs, users = np.flatnonzero(counts.any(1)), np.flatnonzero(counts.any(0))
    ids = tuple(run_ids[run] for run in runs.tolist())
    _same_users(ids, users, counts[np.ix_(runs, users)])
    matrices = []
    for name in ("rank", "n_candidates"):
        whole = np.zeros(counts.shape, np.float32)
        whole[place, user] = rows[name].to_numpy()
        matrices.append(whole[np.ix_(runs, users)])
    ranks, candidates = matrices
    return Ranks(ids, users, ranks, candidates, known_to or {})


def _same_users(run_ids: Sequence[str], users: Ints, counts: Ints) -> None:
    wrong = np.argwhere(counts != 1)
    if len(wrong):
        run, user = wrong[0]
        raise RefusedError(
            "Trainings of one snapshot don't rank the same users",
            got=f"user {users[user]} {counts[run, user]} times in training {run_ids[run]}",
            expected="every user once in each",
            to_do="Published ranks are damaged: `fpt doctor` says which, and the way back",
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


Score = Callable[[NDArray[np.float32], int], Floats]
COMPARED: dict[str, Score] = {
    f"recall_{K}": recall,
    f"ndcg_{K}": ndcg,
    f"mrr_{K}": mrr,
}


def metrics(of: Ranks) -> pa.Table:
    """Of each run at each cut-off: the means over users, and how far users lie apart.

    Null at more places than ranks are known to. MRR@k is cut at k like the others: a rank beyond k
    counts 0, whatever it is.
    """
    return pa.concat_tables(_metrics_at(of, k) for k in CUT_OFFS)


def _metrics_at(of: Ranks, k: int) -> pa.Table:
    hits, gains, inverse = (score(of.ranks, k) for score in (recall, ndcg, mrr))
    size = len(of.run_ids)
    unknown = of.ends < k
    return pa.table(
        {
            "run_id": pa.array(of.run_ids, pa.string()),
            "k": pa.array([k] * size, pa.int32()),
            "recall": pa.array(hits.mean(1), mask=unknown),
            "ndcg": pa.array(gains.mean(1), mask=unknown),
            "mrr": pa.array(inverse.mean(1), mask=unknown),
            "n_users": pa.array([len(of.users)] * size, pa.int64()),
            "recall_sd": _deviation(hits, unknown),
            "ndcg_sd": _deviation(gains, unknown),
            "mrr_sd": _deviation(inverse, unknown),
            "least_recall": recall(of.candidates, k).mean(1),
            "least_ndcg": ndcg(of.candidates, k).mean(1),
        }
    )


def _deviation(scores: Floats, unknown: NDArray[np.bool_]) -> pa.Array:
    """(R,) sample standard deviations over users; null of one user, and where ranks are unknown."""
    if scores.shape[1] < 2:
        return pa.nulls(len(scores), pa.float64())
    return pa.array(scores.std(1, ddof=1), mask=unknown)


def slices(of: Ranks, parts: pa.Table) -> pa.Table:
    """Of each run in each part of each slice; runs whose ranks are not known to K are left out.

    Args:
        of: the ranks.
        parts: `user_id`, in any order, each once, and for each slice a column: in which part of it
            the user is. Users that aren't there are in no part.
    """
    of = _known_to(of, K)
    known, here, there = np.intersect1d(
        of.users, parts["user_id"].to_numpy(), assume_unique=True, return_indices=True
    )
    scores = {name: score(of.ranks[:, here], K) for name, score in COMPARED.items()}
    rows = parts.take(pa.array(there)) if len(known) else parts.slice(0, 0)
    names = [name for name in parts.column_names if name != "user_id"]
    return pa.concat_tables(_slice(of.run_ids, name, rows[name], scores) for name in names)


def _known_to(of: Ranks, k: float) -> Ranks:
    return of.only({run for run, end in zip(of.run_ids, of.ends, strict=True) if end >= k})


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
    """Runs two by two, user by user: the sum of their differences and its squared deviations.

    Of two models that are nearly equal little would be left by sums in floating point. So scores
    are whole multiples of 1e-12, and every sum is exact, whatever its order.

    Args:
        of: the ranks.
        wanted: which runs; those that have no ranks here, or not to K, are left out.
    """
    of, wanted = _known_to(of, K), list(wanted)
    return pa.concat_tables(_pairs(of, metric, score, wanted) for metric, score in COMPARED.items())


def _pairs(of: Ranks, metric: str, score: Score, wanted: Sequence[Pair]) -> pa.Table:
    place = {run: row for row, run in enumerate(of.run_ids)}
    rows = np.array(
        [(place[one], place[other]) for one, other in wanted if one in place and other in place],
        np.int64,
    ).reshape(-1, 2)
    scores = np.rint(score(of.ranks, K) * UNITS).astype(np.int64)
    sums = scores.sum(1)
    centred = scores - (sums // max(1, len(of.users)))[:, None]
    ids = pa.array(of.run_ids, pa.string())
    return pa.table(
        {
            "run_id": ids.take(pa.array(rows[:, 0])),
            "other_id": ids.take(pa.array(rows[:, 1])),
            "metric": pa.array([metric] * len(rows), pa.string()),
            "difference": _decimals((sums[rows[:, 0]] - sums[rows[:, 1]]).tolist(), DIGITS),
            "squares": _decimals(_distances(centred, rows), 2 * DIGITS),
            "n_users": pa.array([len(of.users)] * len(rows), pa.int64()),
        }
    )


def _distances(scores: Ints, rows: Ints) -> list[int]:
    """Of each two rows of `scores` (R, U) the squared distance.

    By products of matrices, of which every number is whole and below 2 ** 53: a score is split
    into a high and a low half, and `BLOCK` users are taken at a time.
    """
    often = np.bincount(rows.ravel(), minlength=len(scores))
    turned = often[rows[:, 1]] > often[rows[:, 0]]  # few rows against many: a new run, all others
    rows = np.where(turned[:, None], rows[:, ::-1], rows)
    high = np.rint(scores / HALF)
    low = scores - high * HALF
    total = np.zeros(len(rows), object)
    for start in range(0, scores.shape[1], BLOCK):
        h, l = (half[:, start : start + BLOCK] for half in (high, low))  # noqa: E741
        total += _products(h, h, rows) * HALF**2 + _products(h, l, rows) * 2 * HALF
        total += _products(l, l, rows)
    return total.tolist()


def _products(x: Floats, y: Floats, rows: Ints) -> NDArray[np.object_]:
    """Of rows a and b of x and y (R, U) the sum over users of (xa - xb) (ya - yb)."""
    one, i = np.unique(rows[:, 0], return_inverse=True)
    other, j = np.unique(rows[:, 1], return_inverse=True)
    own = (x * y).sum(1)
    mixed = (x[one] @ y[other].T)[i, j]
    mixed += mixed if x is y else (y[one] @ x[other].T)[i, j]
    return (own[rows[:, 0]] + own[rows[:, 1]] - mixed).astype(np.int64).astype(object)


def _decimals(numbers: Sequence[int], digits: int) -> pa.Array:
    """Whole multiples of 10 ** -digits."""
    data = b"".join(number.to_bytes(16, sys.byteorder, signed=True) for number in numbers)
    return pa.Array.from_buffers(
        pa.decimal128(38, digits), len(numbers), [None, pa.py_buffer(data)]
    )
