"""LayerNorm's gradients summed in parts, against PyTorch's."""

import pytest
import torch
from torch import nn

from fpt_model.model.layer_norm import LayerNorm, in_parts


@pytest.mark.parametrize("shape", [(128, 3), (6, 4, 3), (5, 3), (1, 1, 2)])
def test_gradients_are_those_of_pytorch(shape):
    torch.manual_seed(1)
    theirs = nn.LayerNorm(shape[-1], eps=1e-8).double()
    nn.init.normal_(theirs.weight)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *given: in_parts(*given, 1e-8), (x, theirs.weight, theirs.bias)
    )
    torch.testing.assert_close(in_parts(x, theirs.weight, theirs.bias, 1e-8), theirs(x))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_module_on_a_gpu_is_pytorchs():
    x = torch.randn(96, 20, 48, device="cuda", requires_grad=True)
    ours, theirs = (kind(48, eps=1e-8).cuda() for kind in (LayerNorm, nn.LayerNorm))
    found = [
        torch.autograd.grad(one(x).square().sum(), [x, *one.parameters()]) for one in (ours, theirs)
    ]
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-3)
