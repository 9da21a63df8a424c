"""Dropout and LayerNorm against what they stand for."""

import pytest
import torch

from fpt_model.layers import LayerNorm, dropout, random_bits


def test_dropout_keeps_the_share_asked_for_and_the_mean():
    torch.manual_seed(2)
    n = 200_000
    x = torch.full((n,), 3.0)
    for rate in (0.1, 0.5, 0.9):
        out = dropout(x, rate)
        kept = out > 0
        # five standard deviations of a share
        assert kept.double().mean().item() == pytest.approx(
            1 - rate, abs=5 * (rate * (1 - rate) / n) ** 0.5
        )
        torch.testing.assert_close(
            out[kept], torch.full_like(out[kept], 3 / (1 - rate)), rtol=2e-4, atol=0
        )


def test_dropout_at_rate_zero_is_nothing():
    x = torch.randn(5)
    assert dropout(x, 0.0) is x


def test_dropout_drops_the_slopes_of_what_it_dropped():
    x = torch.randn(50, 40, requires_grad=True)
    out = dropout(x, 0.4)
    out.sum().backward()
    torch.testing.assert_close(x.grad * x, out)


def test_draws_are_those_of_the_seed():
    x = torch.ones(1001)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(x, 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_bits_are_uniform():
    torch.manual_seed(4)
    bits = random_bits(torch.Size([3, 100_001]), torch.device("cpu"))
    assert bits.shape == (3, 100_001)
    counts = torch.bincount((bits.flatten().long() + 2**15) >> 12, minlength=16)
    expected = bits.numel() / 16
    assert ((counts - expected) ** 2 / expected).sum() < 45  # 15 degrees of freedom, 1 in 10 000


def test_layer_norm_is_pytorchs_forwards_and_backwards():
    torch.manual_seed(0)
    ours, theirs = (kind(7, eps=1e-8).double() for kind in (LayerNorm, torch.nn.LayerNorm))
    x = torch.randn(4, 3, 7, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.copy_(torch.randn(7))
            other.copy_(one)
    upstream = torch.randn(4, 3, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    for one, other in zip(
        torch.autograd.grad(ours(x), [x, *ours.parameters()], upstream),
        torch.autograd.grad(theirs(x), [x, *theirs.parameters()], upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(ours, x)
