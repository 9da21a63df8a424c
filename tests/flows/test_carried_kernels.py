"""Compiled kernels go with an export to another machine and come back, by the real commands."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fpt_model.files.kernels import Kept, write

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


def planted(folder: Path, *keys: str) -> dict[str, bytes]:
    """Kernels that are as good as any for whoever only carries them; all that are there now."""
    for key in keys:
        write(folder / "triton-3.6.0-test", Kept(key, "k.json", {"k.json": b"{}", "k.cubin": b"1"}))
    return files(folder)


@pytest.mark.slow
def test_kernels_go_with_an_export_and_come_back(fpt, copy, archive, tmp_path):
    source = ("--source", archive)
    made = planted(copy / "kernels", "A", "B")
    exported = fpt("export", tmp_path / "one", *WORDS, *source, home=copy)
    assert exported.code == 0, exported.err
    moved = (tmp_path / "one").rename(tmp_path / "elsewhere")
    assert files(moved / "kernels") == made
    assert json.loads((moved / "jobs.json").read_text())["kernels"] == "kernels"
    assert there(moved, "train-all", "--device", "cpu")["finished"][0]["failed"] == 0

    # of what comes back only what is whole is taken, and goes with the next folder
    there_too = planted(moved / "kernels", "C")
    for name in ("runs", "kernels"):
        shutil.copytree(moved / name, copy / name, dirs_exist_ok=True)
    damaged = min((copy / "kernels").rglob("*.zip"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    published = fpt("benchmark", *WORDS, *source, home=copy)
    assert published.code == 0, published.err
    assert "1 compiled kernel in" in published.err
    left = {name: data for name, data in there_too.items() if name != damaged.name}
    assert len(left) == 2
    assert files(copy / "kernels") == left
    again = fpt("export", tmp_path / "two", *WORDS, *source, "--set", "epochs=1", home=copy)
    assert again.code == 0, again.err
    assert files(tmp_path / "two" / "kernels") == left


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kernels_are_compiled_before_there_is_a_gpu(fpt, copy, archive, tmp_path):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    told = {"TRITON_CACHE_DIR": str(tmp_path / "cache"), "TRITON_INTERPRET": "0"}
    words = (*WORDS, "--source", archive, "--compile-for", "sm_90")
    exported = fpt("export", tmp_path / "one", *words, home=copy, told=told, timeout=600)
    assert exported.code == 0, exported.err
    made = files(tmp_path / "one" / "kernels")
    assert len(made) > 5
    assert files(copy / "kernels") == made
    assert not [name for name, data in made.items() if str(tmp_path).encode() in data]
    moved = (tmp_path / "one").rename(tmp_path / "elsewhere")
    (found,) = there(moved, "compile", "--for", "sm_90")["kernels"]
    assert (found["compiled"], found["kernels"] > 5) == (0, True)
    assert files(moved / "kernels") == made


def test_a_gpu_that_there_is_not_is_refused_in_one_line(fpt, copy, archive, tmp_path):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    words = (*WORDS, "--source", archive, "--compile-for", "h100")
    answer = fpt("export", tmp_path / "there", *words, home=copy)
    assert answer.code != 0
    assert "No such GPU to compile for: got 'h100', expected such as sm_90" in answer.err
