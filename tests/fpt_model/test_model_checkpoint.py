"""Checkpoints that are damaged, foreign, incomplete or left over."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import State, load_weights, read, read_latest, write, write_latest
from fpt_model.training import run as train_module


def sign(path: Path) -> None:
    """Make the checksum beside a file right."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    Path(f"{path}.sha256").write_text(f"{sha256}  {path.name}\n")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def forget_checksum(path: Path) -> None:
    Path(f"{path}.sha256").unlink()


def replace_by_text(path: Path) -> None:
    path.write_text("no tensors")
    sign(path)


def forget_facts(path: Path) -> None:
    save_file({"groups": torch.zeros(2)}, path)
    sign(path)


DAMAGES = [flip, truncate, forget_checksum, replace_by_text, forget_facts]


@pytest.fixture
def stopped(learnable, train_small, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A run that died after its last checkpoint, and the weights that it should end with."""
    train_small(learnable, tmp_path / "whole", epochs=3)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_small(learnable, tmp_path / "run", epochs=3)
    return tmp_path / "run", tmp_path / "whole" / "best.safetensors"


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.safetensors"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_aloud(damage, stopped, learnable, train_small):
    run, expected = stopped
    newest = checkpoints(run)[-1]
    damage(newest)
    ended = train_small(learnable, run, epochs=3)
    assert ended.code == 0
    (resumed,) = ended.of("resumed")
    assert resumed["epoch"] == 2
    assert len(resumed["passed_over"]) == 1
    assert newest.name in resumed["passed_over"][0]
    assert "fpt prepare" not in resumed["passed_over"][0]
    (note,) = ended.of("note")
    assert newest.name in note["text"]
    assert note["text"].endswith("Passed over: training goes on after epoch 2.")
    assert (run / "best.safetensors").read_bytes() == expected.read_bytes()


def test_with_all_checkpoints_damaged_training_begins_anew_and_says_so(
    stopped, learnable, train_small
):
    run, expected = stopped
    older, newest = checkpoints(run)
    truncate(older)
    truncate(newest)
    ended = train_small(learnable, run, epochs=3)
    (resumed,) = ended.of("resumed")
    assert resumed["epoch"] == 0
    assert [newest.name in text for text in resumed["passed_over"]] == [True, False]
    assert [older.name in text for text in resumed["passed_over"]] == [False, True]
    assert [note["text"].split(" Passed over: ")[1] for note in ended.of("note")] == [
        "training begins anew."
    ] * 2
    assert [event["epoch"] for event in ended.of("epoch")] == [1, 2, 3]
    assert (run / "best.safetensors").read_bytes() == expected.read_bytes()


def test_a_checkpoint_of_another_seed_is_refused(stopped, learnable, train_small, tmp_path):
    # Shapes agree: only what the checkpoint says of itself tells it from ours.
    run, _ = stopped
    other = tmp_path / "other"
    other.mkdir()
    for path in run.glob("checkpoint-*"):
        shutil.copy(path, other)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    ended = train_small(learnable, other, seed=1, epochs=3)
    assert ended.code == 2
    assert f"{other} belongs to another training: got another seed." in ended.stderr
    assert "Give another --output" in ended.stderr
    assert all((other / name).read_bytes() == data for name, data in before.items())
    assert not (other / "best.safetensors").exists()


@pytest.mark.parametrize("settings", [{"learning_rate": 0.02}, {"item_width": 6}])
def test_a_checkpoint_of_other_settings_is_refused(
    settings, stopped, learnable, train_small, tmp_path
):
    run, _ = stopped
    (run / "order.json").unlink()
    ended = train_small(learnable, run, epochs=3, **settings)
    assert ended.code == 2
    assert "belongs to another training: got another config." in ended.stderr


def test_a_run_directory_is_for_one_training_only(
    stopped, learnable, learnable_rows, write_sequences, train_small, monkeypatch
):
    run, _ = stopped
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    other = write_sequences([*learnable_rows[1:], learnable_rows[0]], 30, name="other.parquet")
    attempts = {
        "seed": train_small(learnable, run, seed=1, epochs=3),
        "config": train_small(learnable, run, epochs=4),
        "sequences_values": train_small(other, run, epochs=3),
    }
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "code_version", lambda: "0123456789abcdef")
        attempts["code_version"] = train_small(learnable, run, epochs=3)
    for name, ended in attempts.items():
        assert ended.code == 2
        assert f"{run} belongs to another training: got another {name}." in ended.stderr
        assert [event["event"] for event in ended.events] == ["error"]
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_files_left_half_written_harm_nothing(stopped, learnable, train_small):
    run, expected = stopped
    names = ("order.json", "started", "best.safetensors", "best.safetensors.sha256", "run.json")
    left = [f"{name}.partial" for name in (*names, "epochs.jsonl")]
    left += ["checkpoint-000000999.safetensors.partial", "checkpoint-000000999.safetensors.sha256"]
    for name in left:
        (run / name).write_bytes(b"half")
    ended = train_small(learnable, run, epochs=3)
    assert ended.code == 0
    assert ended.of("resumed")[0]["passed_over"] == []
    assert (run / "best.safetensors").read_bytes() == expected.read_bytes()
    assert not list(run.glob("checkpoint-*"))


def test_what_is_written_is_read_again_to_the_bit(tmp_path):
    tensors = {
        "float": torch.tensor([[0.1, -0.0, float("inf")]]),
        "double": torch.tensor(1 / 3, dtype=torch.float64),
        "none": torch.empty(0, dtype=torch.int64),
    }
    facts = {"best": 0.1 + 0.2, "records": [{"loss": 1e-300, "none": None}]}
    sha256 = write(tmp_path / "a.safetensors", State(tensors, facts))
    assert sha256 == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    found = read(tmp_path / "a.safetensors")
    assert found.facts == facts
    for name, value in tensors.items():
        assert found.tensors[name].dtype == value.dtype
        assert found.tensors[name].numpy().tobytes() == value.numpy().tobytes()


def test_the_two_newest_checkpoints_are_kept(tmp_path):
    for step in (9, 10, 200, 1000):
        write_latest(tmp_path, State({}, {"step": step}), step)
    assert [path.name[11:20] for path in checkpoints(tmp_path)] == ["000000200", "000001000"]
    assert len(list(tmp_path.iterdir())) == 4
    assert read_latest(tmp_path)[0].facts == {"step": 1000}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weight": None}, "weight is missing"),
        ({"gain": torch.zeros(2)}, "gain is unknown"),
        ({"weight": torch.zeros(3, 2)}, r"weight is float32\[3, 2\] instead of float32\[2, 3\]"),
        ({"bias": torch.zeros(2).double()}, r"bias is float64\[2\] instead of float32\[2\]"),
        ({"bias": torch.tensor([0.0, float("nan")])}, "bias is not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(change, says):
    model = torch.nn.Linear(3, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = {name: torch.ones_like(value) for name, value in before.items()} | change
    tensors = {name: value for name, value in tensors.items() if value is not None}
    with pytest.raises(ModelError, match=f"X does not fit the model: got {says}"):
        load_weights(model, tensors, "X")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
