"""The paper's public code in our training: stand-ins of its modules, fed, stepped and resumed."""

import importlib
from argparse import Namespace

import numpy as np
import pytest
import torch

from fpt_model.data.sequences import load

UTILS = """
import numpy as np

def data_partition(name):
    users = {}
    for line in open(f"data/{name}.txt"):
        user, item, second = map(int, line.split("\\t"))
        users.setdefault(user, []).append([item, second // 60, second // 1000 % 4])
    parts = [{}, {}, {}]
    for user, own in users.items():
        cut = len(own) - 2 if len(own) > 2 else len(own)
        for part, some in zip(parts, (own[:cut], own[cut : cut + 1], own[cut + 1 :])):
            part[user] = some
    items = {one[0] for own in users.values() for one in own}
    return [*parts, len(users), len(items), 0]

def evaluate(model, data, args):
    hits = gained = n = 0
    for user in range(1, data[3] + 1):
        if not data[2][user]:
            continue
        own = (data[0][user] + data[1][user])[-args.maxlen:]
        rows = np.zeros((3, 1, args.maxlen), np.int64)
        rows[:, 0, -len(own):] = np.array(own).T
        items = [data[2][user][0][0]] + [np.random.randint(1, data[4] + 1) for _ in range(100)]
        times = rows[1]
        matrix = np.minimum(abs(times[:, :, None] - times[:, None]), args.time_span)
        scores = model.predict(np.array([user]), rows[0], matrix, np.array(items), rows[2])
        rank = int((scores > scores[0]).sum())
        n, hits = n + 1, hits + (rank < 10)
        gained += 1 / np.log2(rank + 2) if rank < 10 else 0
    return gained / n, hits / n
"""
MODEL = """
import torch

class TiSASRec(torch.nn.Module):
    def __init__(self, users, items, times, args):
        super().__init__()
        self.width = args.hidden_units - OTHERS
        self.item_emb = torch.nn.Embedding(items + 1, self.width, padding_idx=0)
        if OTHERS:
            self.user_emb = torch.nn.Embedding(users + 1, 25)
            self.week_emb = torch.nn.Embedding(4, 25)
            self.week_linear = torch.nn.Linear(2, 2)
        for name in ("abs_pos_K_emb", "abs_pos_V_emb"):
            setattr(self, name, torch.nn.Embedding(args.maxlen, 2))
        for name in ("time_matrix_K_emb", "time_matrix_V_emb"):
            setattr(self, name, torch.nn.Embedding(args.time_span + 4, 2))

    def seq2feats(self, users, items, matrix, weeks=None):
        found = self.item_emb(torch.LongTensor(items)).cumsum(1).tanh()
        found = found + self.time_matrix_K_emb(torch.LongTensor(matrix)).sum((2, 3))[..., None]
        if not OTHERS:
            return found * torch.ones(found.shape)
        users = self.user_emb(torch.LongTensor(users) - 1)[:, None].expand(-1, items.shape[1], -1)
        return torch.cat([found, users, self.week_emb(torch.LongTensor(weeks))], -1)

    def forward(self, users, items, matrix, positives, negatives, *weeks):
        found = self.seq2feats(users, items, matrix, *weeks)
        own, rest = found[..., : self.width], found[..., self.width :].sum(-1)
        both = map(torch.LongTensor, (positives, negatives))
        return [(own * self.item_emb(x)).sum(-1) + rest for x in both]

    def predict(self, users, items, matrix, candidates, weeks):
        found = self.seq2feats(users, items, matrix, *([weeks] if OTHERS else []))[0, -1]
        return self.item_emb(torch.LongTensor(candidates)) @ found[: self.width]
"""


@pytest.fixture(scope="module")
def code():
    return importlib.import_module("authors_code")


@pytest.fixture(scope="module")
def training():
    return importlib.import_module("authors_training")


@pytest.fixture
def reference(code, tmp_path):
    """A checkout of the stand-ins."""
    for folder, others in ((code.PAPER, 50), (code.BASE, 0)):
        (tmp_path / "dir" / folder).mkdir(parents=True)
        (tmp_path / "dir" / folder / "utils.py").write_text(UTILS)
        (tmp_path / "dir" / folder / "model.py").write_text(MODEL.replace("OTHERS", str(others)))
    np.save(tmp_path / "dir" / code.GROUPS, np.arange(121) % 4)
    return tmp_path / "dir"


@pytest.fixture
def path(user, write_sequences):
    """120 users of 6 items each, of 200; a hundred candidates that they did not have."""
    chance, rows = np.random.default_rng(1), []
    for number in range(120):
        items = [1 + (number * 7 + place * 31) % 200 for place in range(6)]
        others = np.setdiff1d(np.arange(1, 201), items)
        drawn = {
            f"{split}_candidates": chance.choice(others, 100, replace=False).tolist()
            for split in ("valid", "test")
        }
        times = [1_000_000 + 60 * (place * place + number % 3) for place in range(6)]
        rows.append(user(items, times=times, **drawn))
    return write_sequences(rows, 200)


@pytest.fixture
def made(code, training, reference, path, monkeypatch):
    """A training of a variant, on the CPU, two steps an epoch."""
    monkeypatch.setattr(training, "BATCH", 50)
    monkeypatch.setattr(training, "PAIRS", 10)
    sequences = load(path)
    data = code.prepare(reference, path, sequences)
    return lambda variant, seed=0: training.Training(reference, variant, seed, data, sequences)


def test_windows_are_those_of_its_reader(made):
    data = made("sas-fpt").data
    first = data.train.select(torch.tensor([0]))
    assert first.items[0, -4:].tolist() == [0, 1, 32, 63]
    assert data.targets[0, -4:].tolist() == [0, 32, 63, 94]
    assert data.valid.items[0, -4:].tolist() == [1, 32, 63, 94]
    assert data.test.items[0, -5:].tolist() == [1, 32, 63, 94, 125]
    minutes = 1_000_000 // 60
    assert first.times[0, -3:].tolist() == [minutes, minutes + 1, minutes + 4]
    assert first.intervals()[0, -1, -4:].tolist() == [256, 4, 3, 0]  # padding is at 0, clipped
    assert first.weeks[0, -1].item() == 1_000_240 // 1000 % 4


def test_another_split_is_refused(code, reference, path):
    sequences = load(path)
    _, data = code.read(reference, code.PAPER, path)
    code.refuse_other_split(data, sequences)
    data[1][3], data[2][3] = data[2][3], data[1][3]
    with pytest.raises(SystemExit, match="history of user 3"):
        code.refuse_other_split(data, sequences)


def test_a_folder_without_the_code_is_refused(code, tmp_path):
    with pytest.raises(SystemExit, match=r"No .*model.py: --reference is a checkout"):
        code.import_file(tmp_path / "model.py")


@pytest.mark.parametrize(
    ("variant", "items", "users"),
    [
        ("tisasrec", 1, None),
        ("tisasrec-second", 2, None),
        ("sas-fpt", 1, 2),
        ("sas-fpt-zeros", 2, 2),
        ("sas-fpt-empty", 2, 2),
        ("sas-fpt-no-second", 1, 1),
        ("sas-fpt-no-users", 1, 0),
        ("sas-fpt-no-weeks", 1, 2),
    ],
)
def test_a_second_step_moves_what_has_a_gradient(made, variant, items, users):
    """Where gradients are None it moves users alone, where they are zeros it moves everything."""
    one = made(variant)
    one.step_on(torch.arange(50))

    def steps(parameter):
        state = one.optimizer.state.get(parameter, {})
        return int(state.get("step", 0))

    assert steps(one.model.item_emb.weight) == items
    if users is not None:
        assert steps(one.model.user_emb.weight) == users
        assert steps(one.model.week_linear.weight) == 0
    moved = {id(x) for x in one._moved()}
    assert moved == {id(x) for x in one.optimizer.state}


@pytest.mark.parametrize("part", ["users", "weeks"])
def test_a_part_that_is_left_out_stays_zero(made, part):
    one = made(f"sas-fpt-no-{part}")
    one.run_epoch()
    weight = getattr(one.model, f"{part[:-1]}_emb").weight
    assert not weight.any()


def test_an_empty_second_step_is_momentum_alone(made):
    """Adam with a gradient of zero: both moments decay, and the weight moves by them."""
    once, twice = made("tisasrec"), made("tisasrec-second")
    for one in (once, twice):
        torch.manual_seed(3)
        one.step_on(torch.arange(50))
    before = once.model.item_emb.weight.detach().double()
    state = once.optimizer.state[once.model.item_emb.weight]
    mean = 0.9 * state["exp_avg"].double() / (1 - 0.9**2)
    square = 0.98 * state["exp_avg_sq"].double() / (1 - 0.98**2)
    expected = before - 1e-3 * mean / (square.sqrt() + 1e-8)
    torch.testing.assert_close(twice.model.item_emb.weight.detach().double(), expected)


def test_a_loss_by_hand(made):
    """With scores of zero each class costs log 2; the penalties are norms of tables."""
    one = made("sas-fpt")
    with torch.no_grad():
        for parameter in one.model.parameters():
            parameter.zero_()
        one.model.abs_pos_K_emb.weight[0, 0] = 3.0
        one.model.week_emb.weight[3, 0] = 2.0  # nobody's week
    found = one.loss(torch.arange(50)).item()
    weeks = float(one.data.train.weeks[:50].eq(3).any())
    assert weeks == 0
    assert found == pytest.approx(2 * np.log(2) + 5e-5 * 3 + 0.1 * 2, rel=1e-6)


def test_it_goes_on_where_it_was_stopped(made, training, tmp_path):
    whole, parts = made("sas-fpt-zeros"), tmp_path / "parts"
    assert training.train(whole, tmp_path / "whole", 20, float("inf"))
    calls = 1
    while not training.train(made("sas-fpt-zeros"), parts, 20, 0):
        calls += 1
    assert calls == 20
    one, other = (torch.load(folder / "weights-20.pt") for folder in (tmp_path / "whole", parts))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    ranks = torch.load(parts / "ranks-20.pt")
    assert ranks["test"].shape == (120,)
    assert ranks["test"].max() <= 202


def test_its_evaluation_and_ours_agree(made, code, reference, path, training, tmp_path, capsys):
    authors = importlib.import_module("authors")
    asked = Namespace(reference=reference, data=path, output=tmp_path / "out", device="cpu")
    asked.variants, asked.users, asked.epoch = ["tisasrec", "sas-fpt"], 70, 20
    for name in asked.variants:
        training.train(made(name), authors.folder_of(asked.output, name, 0), 20, float("inf"))
    authors.agree(asked)
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith(": the same") for line in lines[::2]] == [True, True]
    for line in lines[1::2]:
        ours, theirs = line.partition("ours ")[2].split(", theirs ")
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    assert any("[0.0, 0.0]" not in line for line in lines[::2])  # somebody is ranked high enough


def test_what_is_packed_is_enough_to_go_on(made, training, tmp_path):
    authors = importlib.import_module("authors")
    output = tmp_path / "out"
    training.train(made("tisasrec"), authors.folder_of(output, "tisasrec", 0), 20, float("inf"))
    training.train(made("sas-fpt"), authors.folder_of(output, "sas-fpt", 0), 20, 0)
    authors.pack(output, tmp_path / "packed")
    names = sorted(path.name for path in (tmp_path / "packed").iterdir())
    assert names == ["ranks.tar.gz", "states-0.tar"]
