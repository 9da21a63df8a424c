"""Adam in kernels (Kingma & Ba, 2015, algorithm 1), and AdamW (Loshchilov & Hutter, 2019)."""

import triton
import triton.language as tl


@triton.jit
def learning_rate(rate, place, SCHEDULED: tl.constexpr):
    """Of a step.

    Args:
        rate: float32, the same at each step; if SCHEDULED float32 of many steps.
        place: of the step among them.
    """
    return tl.load(rate + place) if SCHEDULED else rate


@triton.jit
def adam_update(p, exp_avg, exp_avg_sq, grad, count, rate, beta1, beta2):
    """Weights and both moments after a step.

    Args:
        p: float32, weights, of any shape.
        exp_avg, exp_avg_sq: running means of gradients and of their squares.
        grad: this step's gradient.
        count: float32, the number of the step, from 1.
        rate, beta1, beta2: learning rate and decays.
    """
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad

    # a power of a decay by its logarithm
    unbiased1 = 1 - tl.exp(count * tl.log(beta1))
    unbiased2 = 1 - tl.exp(count * tl.log(beta2))
    p -= rate / unbiased1 * exp_avg / (tl.sqrt(exp_avg_sq / unbiased2) + 1e-8)
    return p, exp_avg, exp_avg_sq
