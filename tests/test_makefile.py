"""What `make` would do: `make run` installs what the pipeline needs, and CPU=1 no CUDA."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPU_INDEX = "--no-deps --index-url https://download.pytorch.org/whl/cpu"


SETTINGS = re.findall(r"^(\w+) \?=", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def is_of_make(name: str) -> bool:
    """`make test` tells makes below it of itself, which changes what they say."""
    return name.startswith("MAKE") or name in ("MFLAGS", *SETTINGS)


@pytest.fixture
def would_do(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "constraints-lake.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def say(*words: str) -> str:
        command = ["make", "--dry-run", *words]
        alone = {name: value for name, value in os.environ.items() if not is_of_make(name)}
        done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True)
        return done.stdout

    return say


def test_a_run_installs_no_tools_of_developers(would_do):
    said = would_do("run")
    assert "[dev]" not in said
    assert "--editable . --constraint constraints.txt" in said
    assert said.rstrip().endswith("fpt run")
    assert "--index-url" not in said


def test_a_test_installs_them_on_top(would_do):
    said = would_do("test")
    assert said.index("--editable . ") < said.index("--editable '.[dev]' ")
    assert said.count("-m venv") == 1


def test_uv_is_used_where_it_is_asked_for(would_do):
    assert "uv pip" not in would_do("install")
    lines = would_do("install", "UV=/opt/uv", "CPU=1").splitlines()
    installs = [line for line in lines if " install " in line]
    assert len(installs) == 3
    assert all("/opt/uv pip install --quiet --python .venv/bin/python" in one for one in installs)
    assert CPU_INDEX in installs[0]
    assert "/opt/uv" not in would_do("install-lake", "UV=/opt/uv").split(".venv-lake/bin/", 1)[1]


def test_linters_come_with_the_test_command_and_can_be_left_out(would_do):
    assert would_do("test", "SLOW=1").index("mypy") < would_do("test", "SLOW=1").index("pytest ")
    assert "mypy" not in would_do("tests")
    assert '-m "not slow"' in would_do("tests")


def test_types_are_checked_beside_the_tests_and_form_before_them(would_do):
    lines = would_do("test").splitlines()
    (both,) = [place for place, line in enumerate(lines) if "--jobs 2" in line]
    assert [one for one in lines[:both] if "ruff" in one or "mypy" in one] == [
        ".venv/bin/ruff check .",
        ".venv/bin/ruff format --check .",
    ]
    assert lines[both].endswith(" types tests")
    assert len([one for one in lines[both + 1 :] if "mypy" in one or "pytest" in one]) == 2


def test_what_tests_compile_is_kept_whatever_python_is_told(would_do):
    for target in ("tests", "test-slow", "test-lake"):
        (line,) = re.findall(r"^.*pytest --numprocesses(?:.|\\\n)*$", would_do(target), re.M)
        assert "PYTHONDONTWRITEBYTECODE= " in line


def test_a_lake_adds_its_own_packages_to_those_that_are_there(would_do):
    said = would_do("install-lake")
    assert said.index("--editable . ") < said.index("venv .venv-lake") < said.index("'.[lake]'")
    assert said.count("torch==") == 1
    assert "site.addsitedir" in said
    assert ".venv/bin/python -m venv .venv-lake" in said  # its packages are of that Python


def test_cpu_takes_torch_alone_from_another_index(would_do):
    lines = would_do("run", "CPU=1").splitlines()
    (torch,) = [line for line in lines if "^torch==" in line]
    assert CPU_INDEX in torch
    assert [line for line in lines if "index-url" in line] == [torch]
    assert "file:///wheels" in would_do("install", "TORCH_INDEX=file:///wheels")


def test_the_page_names_what_make_knows(would_do):
    page = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
    commands = page.partition("```\n")[2].partition("```")[0].splitlines()
    for command in commands:
        words = command.partition("#")[0].split()
        assert would_do(*words[1:]).startswith("python3 -m venv"), command
    assert "download.pytorch.org/whl/cpu" in page
