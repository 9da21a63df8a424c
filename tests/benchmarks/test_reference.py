"""The public code beside ours: its data file, and its loop over a stand-in of its modules."""

import importlib
import sys

import pytest
import torch

from fpt_model.data.sequences import Sequences

UTILS = """
import numpy as np

def data_partition(name):
    lines = [line.split("\\t") for line in open(f"data/{name}.txt").read().splitlines()]
    users = {}
    for user, item, second in lines:
        users.setdefault(int(user), []).append([int(item), int(second)])
    print("noise")
    return [users, None, None, len(users), 5, 0]

def Relation(users, n_users, length, span):
    return (length, span)

class WarpSampler:
    def __init__(self, users, n_users, n_items, relation, batch_size, maxlen, n_workers):
        self.size, self.length, self.closed = batch_size, maxlen, False

    def next_batch(self):
        shape = (self.size, self.length)
        items, negatives = np.full(shape, 2), np.full(shape, 3)
        items[:, 0] = 0
        intervals = np.zeros((*shape, self.length), np.int32)
        return range(self.size), items, items, intervals, items, negatives

    def close(self):
        self.closed = True

def evaluate(model, data, settings):
    return float(model.training), len(data)
"""
MODEL = """
import torch

class TiSASRec(torch.nn.Module):
    def __init__(self, users, items, times, settings):
        super().__init__()
        for name in ("item_emb", "abs_pos_K_emb", "abs_pos_V_emb"):
            setattr(self, name, torch.nn.Embedding(items + 1, settings.hidden_units))
        for name in ("time_matrix_K_emb", "time_matrix_V_emb"):
            setattr(self, name, torch.nn.Embedding(settings.time_span + 1, settings.hidden_units))

    def forward(self, users, items, intervals, positives, negatives):
        vector = self.item_emb(torch.tensor(items)).mean(2)
        return vector, -vector
"""


@pytest.fixture
def reference():
    return importlib.import_module("reference")


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "utils.py").write_text(UTILS)
    (tmp_path / "model.py").write_text(MODEL)
    return tmp_path


@pytest.fixture
def sequences():
    """User 1 took items 4 and 2, user 2 item 5."""
    one = torch.ones(2, dtype=torch.int64)
    return Sequences(
        snapshot_id="abc",
        sha256="",
        values="",
        n_items=5,
        items=torch.tensor([4, 2, 5]),
        times=torch.tensor([0, 60, 0]),
        query_times=torch.tensor([0, 60, 0]),
        weeks=torch.tensor([1, 1, 1]),
        ratings=torch.tensor([8, 10, 1]),
        starts=torch.tensor([0, 2, 3]),
        n_train=one,
        scales=one,
        candidates={},
    )


def test_the_data_file_has_a_line_an_interaction(reference, sequences, tmp_path):
    reference.write_lines(sequences, tmp_path / "ours.txt")
    assert (tmp_path / "ours.txt").read_text() == "1\t4\t0\n1\t2\t60\n2\t5\t0\n"


def test_its_loop_trains_its_model_on_our_histories(reference, checkout, sequences, capsys):
    with reference.Reference(checkout, sequences, torch.device("cpu")) as running:
        assert running.data[0] == {1: [[4, 0], [2, 60]], 2: [[5, 0]]}
        before = {name: value.clone() for name, value in running.model.state_dict().items()}
        running.step()
        after = running.model.state_dict()
        # items by the loss, the other tables by their penalty
        assert all(not torch.equal(value, after[name]) for name, value in before.items())
        assert running.evaluate() == (0.0, 6)
    assert running.sampler.closed
    assert capsys.readouterr().out == ""


def test_a_folder_without_the_code_is_refused(reference, sequences, tmp_path):
    with pytest.raises(SystemExit, match=r"No .*utils.py: --reference is a checkout"):
        reference.Reference(tmp_path, sequences, torch.device("cpu"))


def test_a_missing_progress_bar_is_replaced(reference, checkout, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    (checkout / "utils.py").write_text(
        "from tqdm import tqdm\nfound = list(tqdm([1, 2], desc='x'))"
    )
    assert reference.module(checkout / "utils.py").found == [1, 2]
