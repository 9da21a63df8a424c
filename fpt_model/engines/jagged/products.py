"""Matrix products: into given memory by the library, and all gradients of weights by one launch.

Letters: N tokens, M columns of the left matrix, K of the right one, S splits.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fpt_model.engines.gpu.layout import power_of_two

TILE = 128  # rows of a gradient
AT_ONCE = TILE * 256  # elements of a tile; shared memory holds no more
FIELDS = 11  # of a tile in the table of jobs
ALIGNED = 8  # elements that every place and width that is read is a multiple of


def multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """`out` = a b, of matrices or stacks of them; sums are float32."""
    a, b, out = _unstacked(a, b, out)
    torch.matmul(a, b, out=out)


def add_product(out: Tensor, a: Tensor, b: Tensor, scale: float = 1.0) -> None:
    """`out` += scale · a b; see `multiply`."""
    a, b, out = _unstacked(a, b, out)
    if a.dim() == 2:
        out.addmm_(a, b, alpha=scale)
    else:
        out.baddbmm_(a, b, alpha=scale)


def _unstacked(*stacks: Tensor) -> tuple[Tensor, ...]:
    """A stack of one as its matrix, which the library multiplies faster."""
    alone = stacks[0].dim() == 3 and stacks[0].shape[0] == 1
    return tuple(stack[0] for stack in stacks) if alone else stacks


@dataclass(frozen=True)
class Job:
    """A weight's gradient: leftᵀ · right, of which (M, K) is kept.

    Attributes:
        left: (N, M or more), of the same memory as the other.
        right: (N, K or more).
        offset: of the first element of the result.
        stride: elements from row to row of the result.
        rows, columns: M and K.
        by_head: whether columns of `left` lie by head, see weights.py.
    """

    left: Tensor
    right: Tensor
    offset: int
    stride: int
    rows: int
    columns: int
    by_head: bool = False

    def tiles(self, rows: int) -> list[list[int]]:
        """What `weight_grad` reads of each tile of so many rows."""
        columns = self.left.shape[1]
        return [
            [
                int(self.left.storage_offset()) + start, self.left.stride(0), columns - start,
                int(self.right.storage_offset()), self.right.stride(0), self.right.shape[1],
                self.offset, start, self.rows, self.columns, int(self.by_head),
            ]
            for start in range(0, columns, rows)
        ]  # fmt: skip


class Jobs:
    """Gradients that are summed side by side, of matrices about as wide.

    Attributes:
        table: (tiles, FIELDS) int64.
        stride: elements from row to row of all results.
        rows, width: of a tile, powers of two.
        stages: tiles of tokens that a program holds.
        aligned: elements that every place that is written is a multiple of, and every width.
    """

    def __init__(self, jobs: list[Job]) -> None:
        self.width = power_of_two(max(job.right.shape[1] for job in jobs))
        self.rows = max(16, min(TILE, AT_ONCE // self.width))
        self.stages = 3 if self.width <= 256 else 2
        table = torch.tensor([tile for job in jobs for tile in job.tiles(self.rows)])
        assert not (table[:, :6] % ALIGNED).any(), "loads are 16 bytes wide"
        self.table = table.to(jobs[0].left.device)
        (self.stride,) = {job.stride for job in jobs}
        written = [job.offset | job.stride | job.columns for job in jobs]
        self.aligned = next(n for n in (4, 2, 1) if not any(one % n for one in written))


def by_width(jobs: list[Job]) -> list[Jobs]:
    """Those of about the same width side by side, the widest first."""
    widths = {power_of_two(job.right.shape[1]) for job in jobs}
    return [
        Jobs([job for job in jobs if power_of_two(job.right.shape[1]) == width])
        for width in sorted(widths, reverse=True)
    ]


@triton.jit
def weight_grad(
    meta, arena, jobs, parts, size,
    B: tl.constexpr, K: tl.constexpr, W: tl.constexpr, STRIDE: tl.constexpr, GAPS: tl.constexpr,
    BM: tl.constexpr, BT: tl.constexpr, P: tl.constexpr, FIELDS: tl.constexpr,
    ALIGNED: tl.constexpr, WRITTEN: tl.constexpr,
):  # fmt: skip
    """A tile of a weight's gradient over the program's share of tokens. Grid (tiles, S).

    Args:
        meta: (4, B + 1) int32; its last column says how many tokens there are.
        arena: float16, all that products read, see `Workspace`.
        jobs: (tiles, FIELDS) int64, see `Job.tiles`.
        parts: (S, size) float32, gets partial sums.
        size: elements of a part.
        B: sequences.
        K: elements from row to row of a result.
        BM, BT: rows of the gradient, and tokens at a time.
        P: columns, a power of two.
        W, STRIDE, GAPS: see norms.py.
        ALIGNED, WRITTEN: elements that every place and width that is read or written is a multiple
            of; loads and stores are as wide as they say.
    """
    job, split = jobs + tl.program_id(0) * FIELDS, tl.program_id(1)

    # the program's share of tokens, in whole tiles
    n = tl.load(meta + B)
    share = tl.cdiv(tl.cdiv(n, tl.num_programs(1)), BT) * BT

    # both matrices, as the table of jobs says
    left = arena + tl.multiple_of(tl.load(job), ALIGNED)
    right = arena + tl.multiple_of(tl.load(job + 3), ALIGNED)
    left_stride = tl.multiple_of(tl.load(job + 1).to(tl.int32), ALIGNED)
    right_stride = tl.multiple_of(tl.load(job + 4).to(tl.int32), ALIGNED)
    rows = tl.multiple_of(tl.load(job + 2).to(tl.int32), ALIGNED)
    columns = tl.multiple_of(tl.load(job + 5).to(tl.int32), ALIGNED)
    m, w = tl.arange(0, BM), tl.arange(0, P)

    # accumulate leftᵀ · right
    total = tl.zeros((BM, P), tl.float32)
    for start in tl.range(split * share, tl.minimum(split * share + share, n), BT):
        t = start + tl.arange(0, BT)
        here = (t < n)[:, None]
        at = left + t[:, None] * left_stride + m[None, :]
        a = tl.load(at, mask=here & (m < rows)[None, :], other=0.0)
        at = right + t[:, None] * right_stride + w[None, :]
        b = tl.load(at, mask=here & (w < columns)[None, :], other=0.0)
        total = tl.dot(tl.trans(a), b, total, input_precision="ieee")

    # write what is kept: nothing is between the heads of a result
    m += tl.load(job + 7).to(tl.int32)
    row, kept = m, m >= 0
    if GAPS:
        by_head = tl.load(job + 10) > 0
        row = tl.where(by_head, m // STRIDE * W + m % STRIDE, m)
        kept = (m % STRIDE < W) | ~by_head
    kept = kept & (row < tl.load(job + 8))
    columns = tl.multiple_of(tl.load(job + 9).to(tl.int32), WRITTEN)
    to = parts + tl.multiple_of(split * size + tl.load(job + 6), WRITTEN)
    to += row[:, None] * K + w[None, :]
    tl.store(to, total, mask=kept[:, None] & (w < columns)[None, :])
