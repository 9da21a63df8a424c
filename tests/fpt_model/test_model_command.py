"""`python -m fpt_model` as its callers see it: exit codes, events, and one clear message."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fpt_model.config import PRESETS, VARIANTS, from_dict, resolve
from fpt_model.errors import ModelError


@pytest.fixture
def trained(learnable, train_small, tmp_path) -> Path:
    """A finished run on `learnable`."""
    assert train_small(learnable, tmp_path / "run").code == 0
    return tmp_path / "run"


def python(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fpt_model", *map(str, words)]
    # no GPU, wherever this runs
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def refused(ended, *says: str) -> None:
    """One event and one line on stderr, which say the same."""
    assert ended.code == 2
    (event,) = ended.events
    assert event["event"] == "error"
    assert ended.stderr == f"error: {event['message']}\n"
    assert all(part in event["message"] for part in says), event["message"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "gpt"], ["Unknown model: got 'gpt', expected sasrec or tisasrec"]),
        (["--preset", "huge"], ["Unknown preset: got 'huge', expected paper or quick"]),
        (["--set", "width=3"], ["Unknown setting: got 'width', expected intervals or"]),
        (["--set", "preset=paper"], ["Unknown setting: got 'preset'"]),
        (["--set", "epochs"], ["--set needs NAME=VALUE: got 'epochs'."]),
        (["--set", "epochs=ten"], ["Setting epochs is no int: got 'ten'."]),
        (["--set", "epochs=1.5"], ["Setting epochs is no int: got '1.5'."]),
        (["--set", "intervals=yes"], ["Setting intervals is no bool: got 'yes'."]),
        (["--set", "dropout=1"], ["dropout is out of range: got 1.0, expected 0 to 0.99."]),
        (["--set", "dropout=nan"], ["dropout is out of range: got nan"]),
        (["--set", "epochs=0"], ["epochs is out of range: got 0, expected 1 to 1000000."]),
        (["--set", "heads=7"], ["Width is not divisible: got 100, expected 7 n."]),
        (
            ["--set", "loss=hinge"],
            ["Unknown loss: got 'hinge', expected bce or gbce or softmax or"],
        ),
        (
            ["--set", "loss=sampled_softmax", "--set", "beta2=0.7"],
            ["got beta1 0.9, beta2 0.7, expected the square of beta1 below beta2."],
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(words, says, learnable, run_command, tmp_path):
    output = tmp_path / "run"
    ended = run_command("train", "--sequences", learnable, "--output", output, *words)
    refused(ended, *says)
    assert not output.exists()


def test_every_setting_can_be_given_as_text():
    for slug in VARIANTS:
        config = resolve(slug, "paper", {"learning_rate": 0.1 + 0.2})
        texts = {name: str(value) for name, value in asdict(config).items()}
        named = {name: texts.pop(name) for name in ("model", "preset")}
        assert resolve(**named, overrides=texts) == config


@pytest.mark.parametrize("preset", list(PRESETS))
def test_settings_survive_json(slug, preset):
    config = resolve(slug, preset, {"dropout": 0.1 + 0.2, "loss": "softmax"})
    values = json.loads(json.dumps(config.to_dict()))
    assert from_dict(values) == config
    assert from_dict(values | {"dropout": 0.5}) == replace(config, dropout=0.5)


@pytest.mark.parametrize(("change", "says"), [({"depth": 3}, "depth"), ({"loss": None}, "loss")])
def test_settings_of_another_version_are_refused(change, says):
    values = resolve("sasrec", "paper").to_dict() | change
    values = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(ModelError, match=f"Settings of another version.*{says}"):
        from_dict(values)


def test_settings_of_before_there_were_other_blocks_are_read():
    config = resolve("sas_fpt", "best")
    values = config.to_dict()
    assert values.pop("block") == "attention"
    assert from_dict(values) == config


def test_a_sequences_file_that_is_not_there_is_refused(run_command, tmp_path):
    path = tmp_path / "none.parquet"
    ended = run_command("train", "--sequences", path, "--output", tmp_path / "run")
    refused(ended, f"No file {path}", "Run `fpt prepare` first.")


def test_a_sequences_file_without_its_checksum_is_refused(learnable, run_command, tmp_path):
    Path(f"{learnable}.sha256").unlink()
    ended = run_command("train", "--sequences", learnable, "--output", tmp_path / "run")
    refused(ended, f"No file {learnable}.sha256")


def test_a_sequences_file_without_ratings_is_refused(learnable, run_command, tmp_path):
    """Those of older versions."""
    pq.write_table(pq.read_table(learnable).drop_columns("ratings"), learnable)
    sha256 = hashlib.sha256(learnable.read_bytes()).hexdigest()
    Path(f"{learnable}.sha256").write_text(f"{sha256}  {learnable.name}\n")
    ended = run_command("train", "--sequences", learnable, "--output", tmp_path / "run")
    refused(ended, "has other columns", "ratings list<item: int8>", "run `fpt prepare` again")


@pytest.mark.parametrize(
    ("ratings", "says"),
    [
        ([0, 4, 4], "ratings outside 1 to 10"),
        ([11, 4, 4], "ratings outside 1 to 10"),
        ([4, 4], "weeks or ratings differ in length"),
    ],
)
def test_ratings_that_cannot_be_are_refused(
    ratings, says, user, write_sequences, run_command, tmp_path
):
    path = write_sequences([user([1, 2, 3], ratings=ratings)], 5)
    refused(run_command("train", "--sequences", path, "--output", tmp_path / "run"), says)


def test_a_sequences_file_with_a_flipped_bit_is_refused(learnable, trained, run_command, tmp_path):
    data = bytearray(learnable.read_bytes())
    data[len(data) // 2] ^= 1
    learnable.write_bytes(data)
    says = [f"{learnable.name} is damaged: got SHA-256", "Run `fpt prepare` again."]
    refused(run_command("train", "--sequences", learnable, "--output", tmp_path / "new"), *says)
    refused(run_command("evaluate", "--sequences", learnable, "--run", trained), *says)
    assert not (tmp_path / "new").exists()
    assert not (trained / "ranks.parquet").exists()


def test_a_gpu_that_is_not_there_is_an_error_never_a_silent_cpu(learnable, tmp_path):
    words = ["train", "--sequences", learnable, "--output", tmp_path / "run"]
    ended = python(*words, "--device", "cuda")
    assert ended.returncode == 2
    assert (
        ended.stderr == "error: No GPU here: expected one, for --device cuda. Use --device auto.\n"
    )
    assert json.loads(ended.stdout)["event"] == "error"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "the following arguments are required: command"),
        (["guess"], "invalid choice: 'guess'"),
        (["train", "--output", "x"], "the following arguments are required: --sequences"),
        (
            ["train", "--sequences", "x", "--output", "y", "--device", "tpu"],
            "invalid choice: 'tpu'",
        ),
        (["train", "--sequences", "x", "--output", "y", "--seed", "a"], "invalid int value: 'a'"),
    ],
)
def test_words_that_mean_nothing_are_answered_with_the_usage(words, says, run_command, capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(*words)
    assert ended.value.code == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("usage: python -m fpt_model")
    assert says in seen.err
