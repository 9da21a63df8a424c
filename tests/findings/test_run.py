"""`findings/run.py` on small scripts: what held, changed, was too slow or can't be run here."""

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "findings"
FIELDS = ("Versions", "Guess", "What is", "Seen", "Source")


@pytest.fixture(scope="module")
def findings():
    spec = importlib.util.spec_from_file_location("findings_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for their module
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop(spec.name)


@pytest.fixture
def write(tmp_path):
    def written(name: str, body: str, head: str = "") -> Path:
        script = tmp_path / f"{name}.sh"
        script.write_text(f"#!/usr/bin/env bash\n# What {name} is.\n#\n{head}{body}\n")
        return script

    return written


def test_what_held_and_what_changed(findings, write, tmp_path, capsys):
    write("holds", "echo as described")
    write("moved", "echo something else\nexit 1")
    assert findings.main([], tmp_path) == 1
    said = capsys.readouterr().out
    assert re.search(r"^held +holds +\d+ s$", said, re.MULTILINE)
    assert re.search(r"^changed +moved +\d+ s$", said, re.MULTILINE)
    assert "moved:\nsomething else\n" in said
    assert said.endswith("1 held, 1 changed\n")
    assert "as described" not in said


def test_named_ones_alone_are_run_each_once(findings, write, tmp_path, capsys):
    write("holds", f"echo x >> {tmp_path}/runs")
    write("moved", "exit 1")
    assert findings.main(["holds", "holds.sh"], tmp_path) == 0
    assert (tmp_path / "runs").read_text() == "x\n"
    assert capsys.readouterr().out.endswith("1 held\n")


def test_a_name_that_is_not_there(findings, write, tmp_path, capsys):
    write("holds", "exit 0")
    assert findings.main(["hold"], tmp_path) == 2
    assert "no finding hold;" in capsys.readouterr().err


def test_each_has_a_folder_of_its_own_that_goes(findings, write, tmp_path):
    write("one", f'test "$PWD" = "$TMPDIR"; pwd >> {tmp_path}/folders; touch here; mktemp -d')
    write("two", f"test ! -e here; pwd >> {tmp_path}/folders")
    assert findings.main(["--jobs", "2"], tmp_path) == 0
    folders = set((tmp_path / "folders").read_text().split())
    assert len(folders) == 2
    assert not any(map(Path.exists, map(Path, folders)))


def test_it_runs_without_the_project(findings, write, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    write("alone", 'test -z "${PYTHONPATH-}"')
    assert findings.main([], tmp_path) == 0


def test_jobs_run_at_once(findings, write, tmp_path):
    for name, other in (("one", "two"), ("two", "one")):
        write(
            name, f"touch {tmp_path}/{name}; until test -e {tmp_path}/{other}; do sleep .05; done"
        )
    assert findings.main(["--jobs", "2", "--limit", "0.2"], tmp_path) == 0


def test_one_that_takes_too_long_ends_with_all_that_it_started(findings, write, tmp_path, capsys):
    mark = tmp_path / "alive"
    write("slow", f"echo begun\n(while sleep .1; do touch {mark}; done) &\nsleep 60")
    start = time.monotonic()
    assert findings.main(["--limit", "0.01"], tmp_path) == 1
    assert time.monotonic() - start < 10
    said = capsys.readouterr().out
    assert said.startswith("too slow  slow")
    assert "begun" in said
    mark.unlink(missing_ok=True)
    time.sleep(0.3)
    assert not mark.exists()


def test_its_time_and_needs_are_in_its_head(findings, write):
    told = "# Needs:    GPU, npm\n# Takes:    up to 30 minutes, and 2 GB of disk.\nset -e\n"
    finding = findings.head(write("long", "# Takes: up to 1 minute", told))
    assert (finding.title, finding.needs, finding.minutes) == ("What long is.", ["GPU", "npm"], 30)
    assert findings.head(write("short", "exit 0")).minutes == findings.MINUTES


def test_what_a_machine_lacks_is_the_reason_to_skip(findings, write, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FPT_NOT_SET", raising=False)
    write("archive", "exit 1", "# Needs:    FPT_NOT_SET\n")
    write("command", "exit 1", "# Needs:    no-such-command, bash\n")
    assert findings.main([], tmp_path) == 0
    said = capsys.readouterr().out
    assert "skipped   archive  FPT_NOT_SET is not set\n" in said
    assert "skipped   command  there is no no-such-command here\n" in said
    assert said.endswith("2 skipped\n")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("echo 'GPU 0: some'", None), ("echo none; exit 9", "there is no GPU here")],
)
def test_a_gpu_is_one_that_its_driver_lists(findings, tmp_path, monkeypatch, answer, reason):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{answer}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert findings.missing("GPU") == reason


def test_the_list_has_names_and_titles(findings, write, tmp_path, capsys):
    write("holds", "exit 1")
    assert findings.main(["--list"], tmp_path) == 0
    assert capsys.readouterr().out == "holds\n    What holds is.\n"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.stem)
def test_every_finding_says_what_the_readme_asks_for(findings, script):
    text = script.read_text(encoding="utf-8")
    order = [text.index(f"# {field}:") for field in FIELDS]
    assert order == sorted(order)
    assert findings.head(script).title.endswith(".")
    assert "set -euo pipefail" in text
    assert "mktemp -d" in text
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_the_readme_names_what_is_there():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^python findings/run\.py ([a-z]\S+)", text, re.MULTILINE)
    assert named
    assert all((FOLDER / f"{name}.sh").is_file() for name in named)
