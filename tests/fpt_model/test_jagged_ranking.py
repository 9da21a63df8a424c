"""Ranking by windows that are laid out once; the kernels run in Triton's interpreter on a CPU."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.config import resolve
from fpt_model.data.sequences import load
from fpt_model.engines.jagged import products, ranking, shapes, state, training
from fpt_model.evaluation.ranks import PROTOCOLS
from fpt_model.training.trainer import trainer_of

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
AT_ONCE = 10  # users: 24 are ranked, so the last batch is filled up
SIZES = {"item_width": 6, "week_width": 4, "user_width": 6, "heads": 2, "blocks": 1}
SIZES |= {"time_span": 12, "rating_width": 2, "gap_width": 2, "depth_width": 2, "max_length": 7}
TIMES = 3 if DEVICE.type == "cuda" else 1  # launches, a graph recorded, and one replayed


@pytest.fixture
def engine(learnable, monkeypatch):
    """One whose weights matter, that ranks few users at a time."""
    monkeypatch.setattr(state, "HALF", torch.float32)
    for tile in ("QUERIES", "KEYS", "CHUNK", "NARROW_QUERIES"):
        monkeypatch.setattr(shapes, tile, 16)
    monkeypatch.setattr(products, "TILE", 16)
    monkeypatch.setattr(state, "ROUNDED", 128)
    monkeypatch.setattr(ranking, "BATCH", AT_ONCE)
    monkeypatch.setattr("fpt_model.evaluation.ranks.BATCH", AT_ONCE)
    config = resolve("sas_fpt", "best", SIZES | {"time_reference": "query"})
    trainer = trainer_of(config, 0, load(learnable).to(DEVICE), "jagged")
    torch.manual_seed(1)
    with torch.no_grad():
        for value in trainer.engine.weights().values():
            if value.is_floating_point():
                value.add_(torch.randn_like(value), alpha=0.3)
    trainer.engine.kernels.weights.refresh_fp16()
    return trainer.engine


def apart(engine, split, protocols):
    """By windows that are made for each batch."""
    return engine._rank_apart(split, protocols, engine.model.items.weight.detach())


@pytest.mark.parametrize("split", ["valid", "test"])
def test_windows_laid_out_once_give_the_ranks_of_windows_made_for_each_batch(engine, split):
    expected = apart(engine, split, PROTOCOLS)
    for _ in range(TIMES):
        found = engine.rank(split, PROTOCOLS)
        assert found.users.equal(expected.users)
        for protocol in PROTOCOLS:
            assert found.ranks[protocol].equal(expected.ranks[protocol])
            assert found.n_candidates[protocol].equal(expected.n_candidates[protocol])
    assert len(expected.users) % AT_ONCE  # the last batch has places to fill
    assert expected.ranks["full"].unique().numel() > 5
    if split == "test":
        assert found.lists.equal(expected.lists)


def test_what_was_laid_out_ranks_by_the_weights_of_now(engine):
    before = engine.rank("valid", PROTOCOLS)
    with torch.no_grad():
        engine.weights()["items.weight"][1:].mul_(-1)
    engine.kernels.weights.refresh_fp16()
    after = engine.rank("valid", PROTOCOLS)
    assert not after.ranks["full"].equal(before.ranks["full"])
    assert after.ranks["full"].equal(apart(engine, "valid", PROTOCOLS).ranks["full"])


def test_all_batches_of_all_splits_have_room_for_as_many_tokens(engine):
    sequences = engine.sequences
    for split in ("valid", "test"):
        assert engine._windows(split) is engine._windows(split)
    longest = ranking.longest_batch(engine.histories, sequences, engine.config)
    for split, windows in engine.windows.items():
        rows, length = windows.rows, engine.config.max_length
        tokens = sequences.held_out(rows, split).clamp(max=length)
        batches = [int(some.sum()) for some in tokens.split(AT_ONCE)]
        assert windows.steps[:, 0, -1].tolist() == batches
        assert max(batches) <= longest <= windows.tokens <= windows.workspace.n_tokens
        assert windows.tokens == engine.windows["valid"].tokens


def test_more_users_than_a_graph_may_have_are_ranked_apart(engine, monkeypatch):
    expected = engine.rank("valid", PROTOCOLS)
    engine.windows.clear()
    monkeypatch.setattr(training, "IN_A_GRAPH", 3)
    found = engine.rank("valid", PROTOCOLS)
    assert not engine.windows
    assert found.ranks["full"].equal(expected.ranks["full"])
