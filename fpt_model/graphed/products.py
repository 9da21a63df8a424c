"""Matrix products into given memory, by the library."""

import torch
from torch import Tensor


def multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """`out` = a b, of matrices or stacks of them; sums and, if `out` is wider, results in float32."""
    a, b, out = _unstacked(a, b, out)
    if out.dtype == a.dtype:
        torch.matmul(a, b, out=out)
    elif not out.is_cuda:
        out.copy_(a.to(out.dtype) @ b.to(out.dtype))
    elif a.dim() == 2:
        torch.mm(a, b, out_dtype=out.dtype, out=out)
    else:
        out.copy_(torch.bmm(a, b, out_dtype=out.dtype))


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
