"""Losses in kernels."""

import triton
import triton.language as tl


@triton.jit
def softplus(x):
    """log(1 + exp(x)), whose exponential can't overflow."""
    return tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))
