"""Losses in kernels."""

import triton
import triton.language as tl


@triton.jit
def softplus(x):
    """log(1 + exp(x)), whose exponential can't overflow."""
    return tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))


@triton.jit
def bce(positive, negative):
    """Binary cross-entropy of scores of the item that came and of one that did not, any shape.

    Returns:
        The loss, and its gradients by both.
    """
    loss = softplus(-positive) + softplus(negative)
    return loss, -1 / (1 + tl.exp(positive)), tl.sigmoid(negative)
