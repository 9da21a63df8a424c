"""Matrix products: into given memory by the library, and all gradients of weights by one launch.

Letters: N tokens, M columns of the left matrix, K of the right one, S splits.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 64
FIELDS = 8  # of a tile in the table of jobs
ALIGNED = 8


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
    """A weight's gradient: leftᵀ · right, (M, K).

    Attributes:
        left: (N, M), of the same memory as the other.
        right: (N, K).
        offset: of the first element of the result.
        stride: elements from row to row of the result.
    """

    left: Tensor
    right: Tensor
    offset: int
    stride: int

    def tiles(self) -> list[list[int]]:
        """What `weight_grad` reads of each tile of rows."""
        columns = self.left.shape[1]
        return [
            [
                int(self.left.storage_offset()) + start, self.left.stride(0), columns - start,
                int(self.right.storage_offset()), self.right.stride(0), self.right.shape[1],
                self.offset + start * self.stride, self.stride,
            ]
            for start in range(0, columns, TILE)
        ]  # fmt: skip


class Jobs:
    """Gradients that are summed side by side.

    Attributes:
        table: (tiles, FIELDS) int64.
        aligned: elements that every place and width is a multiple of.
    """

    def __init__(self, jobs: list[Job]) -> None:
        table = torch.tensor([tile for job in jobs for tile in job.tiles()])
        self.table = table.to(jobs[0].left.device)
        self.aligned = 1 if (table[:, :6] % ALIGNED).any() else ALIGNED


@triton.jit
def weight_grad(
    meta, arena, jobs, parts, size,
    B: tl.constexpr, BM: tl.constexpr, BT: tl.constexpr, P: tl.constexpr, FIELDS: tl.constexpr,
    ALIGNED: tl.constexpr,
):  # fmt: skip
    """A tile of a weight's gradient over the program's share of tokens. Grid (tiles, S).

    Args:
        meta: (4, B + 1) int32; its last column says how many tokens there are.
        arena: float16, all that products read, see `Workspace`.
        jobs: (tiles, FIELDS) int64, see `Job.tiles`.
        parts: (S, size) float32, gets partial sums.
        size: elements of a part.
        B: sequences.
        BM, BT: rows of the gradient, and tokens at a time.
        P: columns, a power of two.
        ALIGNED: elements that every place and width is a multiple of; loads are as wide as it says.
    """
    job, split = jobs + tl.program_id(0) * FIELDS, tl.program_id(1)

    # the program's share of tokens, in whole tiles
    n = tl.load(meta + B)
    share = tl.cdiv(tl.cdiv(n, tl.num_programs(1)), BT) * BT

    # both matrices, as the table of jobs says
    left = arena + tl.multiple_of(tl.load(job), ALIGNED)
    right = arena + tl.multiple_of(tl.load(job + 3), ALIGNED)
    left_stride = tl.multiple_of(tl.load(job + 1), ALIGNED)
    right_stride = tl.multiple_of(tl.load(job + 4), ALIGNED)
    rows = tl.multiple_of(tl.load(job + 2), ALIGNED)
    columns = tl.multiple_of(tl.load(job + 5), ALIGNED)
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

    # write
    to = parts + split * size + tl.load(job + 6) + m[:, None] * tl.load(job + 7) + w[None, :]
    tl.store(to, total, mask=(m < rows)[:, None] & (w < columns)[None, :])
