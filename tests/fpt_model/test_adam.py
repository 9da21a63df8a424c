"""Our call of PyTorch's Adam: the bits of its class, without what the class imports."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from fpt_model.engines.adam import Adam


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(shape)) for shape in ((7, 5), (3,), (4, 4), (2,))]


def test_steps_have_the_bits_of_pytorchs_class():
    ours, theirs = parameters(), parameters()
    own = Adam(ours, 3e-3, (0.9, 0.98))
    known = torch.optim.Adam(theirs, lr=3e-3, betas=(0.9, 0.98), fused=True)
    for step in range(6):
        own.zero_grad()
        known.zero_grad()
        torch.manual_seed(step)
        for place, pair in enumerate(zip(ours, theirs, strict=True)):
            if place == 3 or (place == 1 and step < 2):
                continue  # one never has a gradient, one only later
            drawn = torch.randn_like(pair[0]) * 10.0 ** (step - 3)
            pair[0].grad, pair[1].grad = drawn.clone(), drawn.clone()
        own.step()
        known.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)
        assert set(own.state[mine]) == set(known.state[other])
        for name, value in known.state[other].items():
            assert torch.equal(own.state[mine][name], value), name
            assert own.state[mine][name].dtype == value.dtype


@pytest.mark.slow
def test_a_training_does_not_import_pytorchs_compiler(learnable, tmp_path):
    """It takes a second or more of every process that trains."""
    command = ["train", "--sequences", str(learnable), "--output", str(tmp_path / "run")]
    command += ["--model", "tisasrec", "--set", "epochs=1", "--device", "cpu"]
    code = "import runpy, sys; sys.argv[0] = 'fpt_model'\ntry: runpy.run_module('fpt_model', "
    code += "run_name='__main__')\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch._dynamo', 'sympy'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
