"""A table cut over ranks does what a whole one does."""

import socket
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from fpt_model.config import Config
from fpt_model.engines.distributed.cut_ranks import CutRanks
from fpt_model.engines.distributed.engine import Distributed
from fpt_model.engines.distributed.group import Group
from fpt_model.engines.distributed.table import CutRows
from fpt_model.engines.item_rows import ItemRows
from fpt_model.errors import ModelError
from fpt_model.evaluation import ranks

# Each rank looks up, learns and ranks; what comes of it is that of a table that is whole.
TWO = """
import sys
from dataclasses import replace
import torch, torch.distributed as dist
from fpt_model.config import resolve
from fpt_model.engines.distributed.table import CutRows
from fpt_model.engines.item_rows import ItemRows

dist.init_process_group("gloo")
rank, group = dist.get_rank(), dist.group.WORLD
settings = {"item_width": 4, "loss": "sampled_softmax", "l2": 0.1, "learning_rate": 0.1}
config = resolve("sasrec", "paper", settings)
first = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))
first[0] = 0
more = sys.argv[1] == "decays"
if more:
    config = replace(config, weight_decay=0.5, schedule="linear", epochs=1)
rates = (lambda step: 0.1 / (1 + step)) if more else None
cut = CutRows(10, config, group, torch.device("cpu"), rates)
whole = ItemRows(first.clone(), config, rates)
cut.give(first if rank == 0 else None, cut.weight)
assert cut.weight.equal(first[rank::2])

asked = [[[7, 2], [10, 3]], [[2, 8], [3, 3]]], [[[1, 7], [9, 5]], [[], []]]
for ids in (*asked, *asked):
    own = torch.tensor(ids[rank], dtype=torch.int64)
    looked = cut.look_up(own)
    assert looked.vectors.detach().equal(cut.fetched(looked.numbers))
    assert looked.numbers[looked.places(own)].equal(own)
    (looked.vectors[looked.places(own)] * (1 + rank)).sum().backward()
    penalty = cut.step(looked)

    both = whole.look_up(*(torch.tensor(part, dtype=torch.int64) for part in ids))
    loss = 0
    for number, part in enumerate(ids):
        places = both.places(torch.tensor(part, dtype=torch.int64))
        loss = loss + (both.vectors[places] * (1 + number)).sum() / 2  # the mean over ranks
    loss.backward()
    torch.testing.assert_close(penalty, whole.step(both))
    torch.testing.assert_close(cut.weight, whole.weight[rank::2])
cut.settle()
whole.settle()
for own, kept in zip(cut.kept, whole.kept):
    torch.testing.assert_close(own, kept[rank::2])

found = cut.taken(cut.weight)
assert (found is None) == (rank == 1)
if rank == 0:
    torch.testing.assert_close(found, whole.weight)
    assert cut.taken(cut.kept[2]).equal(whole.kept[2])
else:
    cut.taken(cut.kept[2])
print("ok")
"""


@pytest.mark.parametrize("rows", ["stay", "decays"])
def test_two_ranks_look_up_and_learn_as_one(rows, loaded, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    (script := tmp_path / "two.py").write_text(TWO)
    both = [loaded.start(rows, script=script, RANK=str(rank), **places) for rank in range(2)]
    for one in both:
        assert one.communicate() == ("ok\n", "")


def test_ranks_take_the_same_users_at_a_time(make_sequences, user, monkeypatch):
    """Also where one has a row more; else they would wait for each other, or add up strangers."""
    sequences = make_sequences([user([1, 2, 3, 4])] * 9, 10)
    monkeypatch.setattr(ranks, "SCORES", 42)  # 6 users of 6 rows, 7 of 5
    monkeypatch.setattr(dist, "get_world_size", lambda _: 2)
    taken: list[int] = []

    def noted(_: CutRanks, rows: torch.Tensor, size: int, *_of: object) -> ranks.Ranks:
        taken.append(size)
        return ranks.Ranks(rows + 1, {"full": rows}, {"full": rows})

    monkeypatch.setattr(CutRanks, "_of", noted)
    config = Config("sasrec", "paper", item_width=4)
    for rank in range(2):
        monkeypatch.setattr(dist, "get_rank", lambda _, rank=rank: rank)
        table = CutRows(10, config, None, torch.device("cpu"))
        assert len(table.weight) == 6 - rank
        CutRanks(torch.nn.Linear(1, 1), table, sequences).rank("valid", ("full",))
    assert taken == [6] * 4


def test_a_rank_that_fails_in_the_middle_of_ranking_takes_no_leave(monkeypatch):
    """The others wait for its counts; what it told them next they would add to theirs."""
    engine = SimpleNamespace(model=None, sequences=None, group=Group(0, 2, None, None))

    def failing(error: Exception) -> Callable[..., None]:
        def rank(*_: object) -> None:
            raise error

        return rank

    monkeypatch.setattr(CutRanks, "rank", failing(refused := ModelError("A score is no number")))
    assert Distributed._cut_ranks(engine, None, "valid", ("full",)) is refused  # by all alike
    assert not engine.group.out_of_step
    monkeypatch.setattr(CutRanks, "rank", failing(RuntimeError("CUDA out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        Distributed._cut_ranks(engine, None, "valid", ("full",))
    assert engine.group.out_of_step


def rows_of(
    table: torch.Tensor, rates: Callable[[int], float] | None = None, **settings: object
) -> ItemRows:
    own = {"item_width": 3, "loss": "sampled_softmax", "l2": 0.0, **settings}
    if rates:
        own["schedule"] = "linear"
    return ItemRows(table.clone(), Config("sasrec", "paper", **own), rates)


def to_and_fro(before: int) -> float:
    """Learning rates of which no two in a row are alike."""
    return 1e-3 * (1 + 0.5 * (-1) ** before) / (1 + before / 1000)


def taught(rows: ItemRows, ids: list[int], gradient: torch.Tensor) -> None:
    """A step on the rows of some ids."""
    looked = rows.look_up(torch.tensor(ids))
    (looked.vectors * gradient[looked.numbers]).sum().backward()
    rows.step(looked)


@pytest.mark.parametrize(
    ("rates", "weight_decay"), [(None, 0.0), (to_and_fro, 0.0), (None, 0.7), (to_and_fro, 0.7)]
)
def test_rows_that_coast_end_where_adam_on_all_rows_puts_them(rates, weight_decay):
    """Gradients are large beside epsilon, and the correction of bias is over."""
    draw = torch.Generator().manual_seed(4)
    table = torch.randn(9, 3, generator=draw, dtype=torch.float64)
    betas = {"beta1": 0.5, "beta2": 0.9}
    dense = torch.nn.Parameter(table.clone())
    rows = rows_of(table, rates, weight_decay=weight_decay, **betas)
    adam = torch.optim.AdamW([dense], lr=1e-3, betas=(0.5, 0.9), weight_decay=weight_decay)
    everybody = list(range(9))
    for step in range(600):
        few = torch.randint(1, 9, (2,), generator=draw).tolist()
        ids = everybody if step < 300 else few  # first all rows in each step
        gradient = torch.randn(9, 3, generator=draw, dtype=torch.float64)
        gradient[0] = 0
        dense.grad = torch.zeros_like(dense)
        dense.grad[ids] = gradient[ids]
        adam.param_groups[0]["lr"] = rates(step) if rates else 1e-3
        adam.step()
        taught(rows, ids, gradient)
        if step == 299:
            torch.testing.assert_close(rows.weight, dense.detach(), rtol=0, atol=1e-7)
    moved = (dense.detach() - table).abs().max()
    assert (rows.weight - dense).abs().max() > 1e-5  # some coast
    rows.settle()
    torch.testing.assert_close(rows.weight, dense.detach(), rtol=0, atol=float(moved) * 1e-5)
    own = adam.state[dense]
    torch.testing.assert_close(rows.kept[0], own["exp_avg"])
    torch.testing.assert_close(rows.kept[1], own["exp_avg_sq"])


def test_a_row_makes_up_for_its_steps_once_and_padding_never_moves():
    table = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    table[0] = 0
    rows = rows_of(table)
    gradient = torch.ones(4, 3)
    gradient[0] = 0
    taught(rows, [1, 2], gradient)
    after = rows.weight[1].clone()
    for _ in range(3):
        taught(rows, [3], gradient)
    assert rows.weight[1].equal(after)
    # m = .1, v = .02, both corrected by the bias of step 4; r = .9 / √.98; three steps
    ratio = 0.9 / 0.98**0.5
    change = 1e-3 * 0.1 / (1 - 0.9**4) / (0.02 / (1 - 0.98**4)) ** 0.5
    expected = after - change * (ratio + ratio**2 + ratio**3)
    torch.testing.assert_close(rows.vectors(torch.tensor([1]))[0], expected)
    settled = rows.weight[1].clone()
    rows.settle()
    rows.settle()
    assert rows.weight[1].equal(settled)
    assert rows.weight[0].tolist() == [0, 0, 0]
    torch.testing.assert_close(rows.kept[2], torch.full((4,), 4.0))


def test_rows_that_were_never_looked_up_decay_with_the_others():
    table = torch.tensor([[0.0] * 3, [2.0] * 3, [-4.0] * 3])
    rows = rows_of(table, learning_rate=0.1, weight_decay=0.5, epochs=1)
    gradient = torch.tensor([[0.0] * 3, [1.0] * 3, [0.0] * 3])
    for _ in range(3):
        taught(rows, [1], gradient)
    assert rows.weight[2].tolist() == [-4.0] * 3  # which nobody has read meanwhile
    rows.settle()
    torch.testing.assert_close(rows.weight[2], torch.full((3,), -4.0 * 0.95**3))
    torch.testing.assert_close(
        rows.weight[1], torch.full((3,), ((2 * 0.95 - 0.1) * 0.95 - 0.1) * 0.95 - 0.1)
    )
    assert rows.weight[0].tolist() == [0.0] * 3
    taught(rows, [1], gradient)
    rows.settle()
    torch.testing.assert_close(rows.weight[2], torch.full((3,), -4.0 * 0.95**4))


@pytest.mark.parametrize(
    ("rates", "weight_decay"), [(None, 0.0), (to_and_fro, 0.0), (to_and_fro, 0.7)]
)
def test_it_goes_on_from_moments_to_the_same_bits(rates, weight_decay):
    draw = torch.Generator().manual_seed(5)
    table = torch.randn(6, 3, generator=draw)
    gradients = torch.randn(6, 6, 3, generator=draw)
    gradients[:, 0] = 0
    rows = rows_of(table, rates, weight_decay=weight_decay)
    assert rows.moments() == {}
    for step, gradient in enumerate(gradients):
        if step == 3:
            other = rows_of(rows.weight, rates, weight_decay=weight_decay)
            other.restore({name: value.clone() for name, value in rows.moments().items()})
        taught(rows, [1 + step % 5, 2], gradient)
        if step >= 3:
            taught(other, [1 + step % 5, 2], gradient)
    rows.settle()
    other.settle()
    assert rows.weight.equal(other.weight)
    other.restore({})
    assert other.moments() == {}
