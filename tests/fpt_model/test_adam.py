"""Our call of PyTorch's Adam and AdamW: the bits of their classes, without what those import."""

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from fpt_model.engines.adam import Adam, decays
from fpt_model.model.encoder import Encoder


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(shape)) for shape in ((7, 5), (3,), (4, 4), (2,))]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_steps_have_the_bits_of_pytorchs_class(weight_decay):
    ours, theirs = parameters(), parameters()
    own = Adam(ours, 3e-3, (0.9, 0.98), weight_decay=weight_decay)
    settings = {"lr": 3e-3, "betas": (0.9, 0.98), "fused": True}
    known = torch.optim.Adam(theirs, **settings)
    if weight_decay:
        matrices, vectors = [theirs[0], theirs[2]], [theirs[1], theirs[3]]
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        known = torch.optim.AdamW(groups, weight_decay=weight_decay, **settings)
    for step in range(6):
        own.learning_rate = 3e-3 / (1 + step)
        for group in known.param_groups:
            group["lr"] = 3e-3 / (1 + step)
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


def test_a_step_with_decay_by_hand():
    """Adam's first step is as long as the rate; 2 less a share of .1 · .25 is 1.95."""
    matrix, vector = (nn.Parameter(torch.full(shape, 2.0)) for shape in ((1, 2), (2,)))
    table = nn.Parameter(torch.tensor([[0.0, 0.0], [2.0, -2.0], [2.0, 2.0]]))
    own = Adam([matrix, vector, table], 0.1, (0.9, 0.98), weight_decay=0.25)
    matrix.grad, vector.grad = torch.tensor([[0.5, -3.0]]), torch.tensor([0.5, -3.0])
    table.grad = torch.tensor([[0.0, 0.0], [0.5, -3.0], [0.0, 0.0]])
    own.step()
    torch.testing.assert_close(matrix.detach(), torch.tensor([[1.85, 2.05]]))
    torch.testing.assert_close(vector.detach(), torch.tensor([1.9, 2.1]))
    expected = torch.tensor([[0.0, 0.0], [1.85, -1.85], [1.95, 1.95]])
    torch.testing.assert_close(table.detach(), expected)
    # the second step: moments of both gradients, and 1.85 less its share of a smaller rate
    own.learning_rate = 0.05
    matrix.grad, vector.grad, table.grad = torch.tensor([[0.5, -3.0]]), None, None
    own.step()
    torch.testing.assert_close(matrix.detach(), torch.tensor([[1.85 * 0.9875 - 0.05, 2.074375]]))


def test_a_rate_in_a_tensor_is_read_at_each_step():
    """As a captured step finds it."""
    ours, theirs = parameters(), parameters()
    rate = torch.zeros(())
    own = Adam(ours, rate, (0.9, 0.98), weight_decay=0.3)
    known = Adam(theirs, 0.0, (0.9, 0.98), weight_decay=0.3)
    for step in range(1, 4):
        rate.fill_(0.125 / step)
        known.learning_rate = 0.125 / step
        for one in (*ours, *theirs):
            one.grad = torch.full_like(one, 1.0 / step)
        own.step()
        known.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_what_decays_are_matrices_and_tables(small_config):
    known = torch.zeros(0, dtype=torch.int64)
    genres = {"genres": torch.zeros(6, 2, dtype=torch.int64)}
    names = {}
    for model in ("sas_fpt", "hstu"):
        config = small_config(model, genre_width=2, rating_width=2, overflow_rows=0)
        encoder = Encoder(config, 5, 3, known, genres)
        for name, value in encoder.named_parameters():
            names[re.sub(r"\d+", "N", name)] = decays(value)
    kept = {name for name, decayed in names.items() if not decayed}
    assert all("norm" in name or "bias" in name for name in kept)
    assert not any("norm" in name or "bias" in name for name in names.keys() - kept)
    tables = {"items.weight", "users.weight", "genres.weight", "intervals.N", "positions.N"}
    assert tables | {"blocks.N.query.weight", "blocks.N.output.weight"} <= names.keys() - kept


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
