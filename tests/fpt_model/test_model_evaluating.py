"""`evaluate`: the ranks of a finished training as a file, the same on every call."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.data.sequences import load
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import rank
from fpt_model.files.values import stated, values_sha256
from fpt_model.training.ranking import load_model
from fpt_model.training.trainer import scorer


@pytest.fixture
def evaluate(run_command, learnable, tmp_path):
    """Evaluate the run, of `learnable` unless told otherwise."""

    def run(*words: object, path: Path = learnable):
        places = ("--sequences", path, "--run", tmp_path / "run")
        return run_command("evaluate", *places, "--device", "cpu", *words)

    return run


def test_evaluating_ranks_as_training_validated(slug, learnable, train_small, evaluate, tmp_path):
    run = tmp_path / "run"
    ended = train_small(learnable, run, slug, epochs=3)
    ranked = evaluate()
    done = {"event": "done", "run": str(run), "rows": 4 * 24}
    assert (ranked.code, ranked.events) == (0, [done])
    rows = pq.read_table(run / "ranks.parquet").to_pylist()
    valid = [r["rank"] for r in rows if (r["split"], r["protocol"]) == ("valid", "uniform_100")]
    (done,) = ended.of("done")
    assert ndcg(torch.tensor(valid), 10) == done["valid_ndcg_10"]
    best = ended.of("epoch")[done["best_epoch"] - 1]
    assert recall(torch.tensor(valid), 10) == best["valid_recall_10"]

    sequences = load(learnable)
    model = load_model(run, sequences)
    for split in ("valid", "test"):
        found = rank(scorer(model, sequences), sequences, split, 8)
        for protocol, expected in found.ranks.items():
            part = [r for r in rows if (r["split"], r["protocol"]) == (split, protocol)]
            assert [r["rank"] for r in part] == expected.tolist()
            assert [r["user_id"] for r in part] == found.users.tolist()
            assert [r["n_candidates"] for r in part] == found.n_candidates[protocol].tolist()


def test_ranks_are_a_table_that_says_the_hash_of_its_values(
    learnable, train_small, evaluate, tmp_path
):
    train_small(learnable, tmp_path / "run")
    output = tmp_path / "elsewhere.parquet"
    assert evaluate("--output", output).code == 0
    assert not (tmp_path / "run" / "ranks.parquet").exists()
    schema = pq.read_schema(output)
    assert dict(zip(schema.names, schema.types, strict=True)) == {
        "split": pa.string(),
        "protocol": pa.string(),
        "user_id": pa.int32(),
        "rank": pa.float32(),
        "n_candidates": pa.int32(),
    }
    assert stated(output) == values_sha256(pq.read_table(output))
    assert not Path(f"{output}.sha256").exists()
    evaluate()
    assert (tmp_path / "run" / "ranks.parquet").read_bytes() == output.read_bytes()


def test_saved_scores_lead_to_the_same_ranks(
    learnable, learnable_rows, train_small, evaluate, tmp_path
):
    train_small(learnable, tmp_path / "run")
    evaluate("--scores", tmp_path / "scores.npy")
    scores = np.load(tmp_path / "scores.npy")
    assert scores.shape == (26, 31)
    assert np.isnan(scores[24:]).all()  # nothing of theirs is held out
    assert np.isfinite(scores[:24]).all()
    rows = pq.read_table(tmp_path / "run" / "ranks.parquet").to_pylist()
    found = {
        r["user_id"]: r["rank"] for r in rows if (r["split"], r["protocol"]) == ("test", "full")
    }
    for user, place in found.items():
        items = learnable_rows[user - 1]["item_ids"]
        others = [scores[user - 1, item] for item in range(1, 31) if item not in items]
        own = scores[user - 1, items[-1]]
        assert (
            place
            == 1 + sum(score > own for score in others) + sum(score == own for score in others) / 2
        )


def test_a_run_that_is_not_finished_is_refused(evaluate, tmp_path):
    ended = evaluate()
    assert ended.code == 2
    assert f"No finished training in {tmp_path / 'run'}. Train it first." in ended.stderr


def test_ranks_of_other_sequences_are_refused(
    learnable, learnable_rows, train_small, write_sequences, evaluate, tmp_path
):
    train_small(learnable, tmp_path / "run")
    ended = evaluate(path=write_sequences(learnable_rows[::-1], 30, name="other.parquet"))
    assert ended.code == 2
    assert "The run was trained on other sequences: got SHA-256" in ended.stderr
    assert not (tmp_path / "run" / "ranks.parquet").exists()


def test_damaged_weights_are_refused_and_can_be_had_again(
    learnable, train_small, evaluate, tmp_path
):
    train_small(learnable, tmp_path / "run")
    best = tmp_path / "run" / "best.safetensors"
    data = bytearray(best.read_bytes())
    data[-3] ^= 1
    whole = best.read_bytes()
    best.write_bytes(data)
    ended = evaluate()
    assert ended.code == 2
    assert "best.safetensors is damaged: got SHA-256" in ended.stderr
    assert "Run the training again." in ended.stderr
    (lost,) = train_small(learnable, tmp_path / "run").of("lost")
    assert lost["what"] == "best.safetensors is damaged"
    assert best.read_bytes() == whole
    assert evaluate().code == 0
