"""Compiled kernels go with an export to another machine and come back, by the real commands."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = ("--dataset", "ml-1m", "--retention", "cold-start", "--model", "sasrec", "--seeds", 2)


def there(folder: Path, *words: str) -> dict[str, list[dict]]:
    """Run the models' code in an exported folder, with nothing of ours; its events by kind."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own.pop("TRITON_INTERPRET", None)
    own["TRITON_CACHE_DIR"] = str(folder / "its-own")
    command = [sys.executable, "-m", "fpt_model", *words, "--jobs", "jobs.json"]
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        event["event"]: [one for one in events if one["event"] == event["event"]]
        for event in events
    }


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.zip")}


@pytest.mark.slow
def test_kernels_go_with_an_export_and_come_back(fpt, copy, archive, tmp_path):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    source = ("--source", archive)
    told = {"TRITON_CACHE_DIR": str(tmp_path / "cache"), "TRITON_INTERPRET": "0"}
    ahead = ("--compile-for", "sm_90")
    exported = fpt("export", tmp_path / "one", *WORDS, *source, *ahead, home=copy, told=told)
    assert exported.code == 0, exported.err
    made = files(tmp_path / "one" / "kernels")
    assert len(made) > 5
    assert not [name for name, data in made.items() if str(tmp_path).encode() in data]

    # elsewhere nothing is compiled; what one more kind of GPU needs comes along the way back
    moved = (tmp_path / "one").rename(tmp_path / "elsewhere")
    (found,) = there(moved, "compile", "--for", "sm_90")["kernels"]
    assert (found["compiled"], found["kernels"] > 5) == (0, True)
    assert there(moved, "train-all", "--device", "cpu")["finished"][0]["failed"] == 0

    # the home has them for the next folder; of what comes back only what is whole is taken
    shutil.rmtree(copy / "kernels")
    for name in ("runs", "kernels"):
        shutil.copytree(moved / name, copy / name, dirs_exist_ok=True)
    damaged = min((copy / "kernels").rglob("*.zip"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    published = fpt("benchmark", *WORDS, *source, home=copy)
    assert published.code == 0, published.err
    assert "1 compiled kernel in" in published.err
    left = {name: data for name, data in made.items() if name != damaged.name}
    assert files(copy / "kernels") == left
    again = fpt("export", tmp_path / "two", *WORDS, *source, "--set", "epochs=1", home=copy)
    assert again.code == 0, again.err
    assert files(tmp_path / "two" / "kernels") == left


def test_a_gpu_that_there_is_not_is_refused_in_one_line(fpt, copy, archive, tmp_path):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    words = (*WORDS, "--source", archive, "--compile-for", "h100")
    answer = fpt("export", tmp_path / "there", *words, home=copy)
    assert answer.code != 0
    assert "No such GPU to compile for: got 'h100', expected such as sm_90" in answer.err
