"""A table cut over ranks does what a whole one does, and a sampled softmax what a full one does."""

import math
import os
import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from fpt_model.engines.distributed.table import Rows, sampled_softmax

CPU = torch.device("cpu")
TWO = """
import sys
import torch, torch.distributed as dist
from fpt_model.engines.distributed.table import Rows

dist.init_process_group("gloo")
rank, group = dist.get_rank(), dist.group.WORLD
whole = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))
rows = Rows(11, 4, group, torch.device("cpu"))
rows.weight.data.copy_(whole[rank::2])
asked = [torch.tensor([7, 2, 10, 3, 9]), torch.tensor([2, 8, 3])][rank]
found = rows(asked)
assert found.equal(whole[asked]), found
(found * (1 + rank) * asked[:, None]).sum().backward()
grad = torch.zeros(11)
grad[[7, 2, 10, 3, 9]] += torch.tensor([7.0, 2, 10, 3, 9])
grad[[2, 8, 3]] += 2 * torch.tensor([2.0, 8, 3])
assert rows.weight.grad.equal(grad[rank::2, None].expand(-1, 4)), rows.weight.grad
assert rows.weight.grad.shape == rows.weight.shape  # of this rank's rows alone
features = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
expected = (features @ whole[1:].T).logsumexp(1)
torch.testing.assert_close(rows.log_sums(features, some=2), expected)
print("ok")
"""


def test_two_ranks_look_up_learn_and_sum_as_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TWO],
            env=os.environ | places | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for one in both:
        out, said = one.communicate(timeout=60)
        assert out == "ok\n", said


def test_one_rank_has_all_rows():
    rows = Rows(5, 3, None, CPU)
    rows.start(0.5, seed=1)
    assert rows.weight[0].tolist() == [0, 0, 0]
    assert 0.3 < rows.weight.abs().max() <= 0.5
    found = rows(torch.tensor([4, 0, 2]))
    found.sum().backward()
    assert rows.weight.grad[:, 0].tolist() == [1, 0, 1, 0, 1]


def test_all_items_as_negatives_are_the_full_softmax():
    """Each drawn once, by a chance of one in eight: expected once among eight."""
    draw = torch.Generator().manual_seed(2)
    items, features = torch.randn(8, 4, generator=draw), torch.randn(6, 4, generator=draw)
    targets = torch.tensor([0, 3, 7, 7, 2, 5])
    found = sampled_softmax(features, items, targets, torch.arange(8), torch.zeros(8))
    full = nn.functional.cross_entropy(features @ items.T, targets, reduction="none")
    torch.testing.assert_close(found, full)


def test_correction_makes_skewed_draws_right_in_expectation():
    """The sum of exponents, over many draws of one negative, is that over all items."""
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0])
    chance = torch.tensor([0.1, 0.2, 0.3, 0.4])
    items, feature = scores[:, None], torch.ones(1, 1)
    target, n = torch.tensor([3]), 4
    mean = 0.0
    for item in range(n):
        loss = sampled_softmax(
            feature, items, target, torch.tensor([item]), chance[item].log()[None]
        )
        mean += float(chance[item]) * math.exp(float(loss) + float(scores[3]))
    assert mean == pytest.approx(float(scores.exp().sum()), rel=1e-5)
