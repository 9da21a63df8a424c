"""Products of tokens with weights, by the library that makes more of the processor.

PyTorch multiplies by MKL, which keeps to AVX2 on processors that are not Intel's. oneDNN, which
PyTorch has as well, takes AVX-512 wherever it is, in half of the time, and adds biases and what
else belongs to a token on the way. On Intel's own, and on processors without AVX-512, MKL is faster
(`benchmarks/cpu_products.py`).

A oneDNN product of a new shape is compiled first, about a millisecond.

Letters: N tokens, I and O widths.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_CPUINFO = Path("/proc/cpuinfo")
_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


@cache
def by_onednn() -> bool:
    """Whether oneDNN multiplies float32: it is there, and has AVX-512 where MKL does without."""
    known = _CPUINFO.read_text() if _CPUINFO.is_file() else ""
    return _onednn is not None and "avx512f" in known and "GenuineIntel" not in known


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """x Wᵀ + b of x (N, I) and W (O, I), (N, O), without what is negative if so asked."""
    if _takes(x):
        return _onednn(x, weight, bias, "relu" if relu else "none", [], "")
    out = x @ weight.T
    if bias is not None:
        out.add_(bias)  # `addmm` would copy the bias to every token first
    return out.relu_() if relu else out


def linear_onto(x: Tensor, weight: Tensor, others: Tensor) -> Tensor:
    """x Wᵀ + others, which are (N, O) and may be used up."""
    if _takes(x):
        return _onednn.binary(x, others, weight, None, "add")
    return others.addmm_(x, weight.T)


def outer_sum(grad: Tensor, x: Tensor) -> Tensor:
    """Over tokens, of grad (N, O) times x (N, I): the gradient of a weight, (O, I).

    oneDNN copies the former.
    """
    return _onednn(grad.T, x.T, None, "none", [], "") if _takes(x) else grad.T @ x


def _takes(x: Tensor) -> bool:
    return x.dtype == torch.float32 and by_onednn()
