"""The how-to pages, done as written: files and diffs go into a copy of the checkout, commands run.

In the copy's folder stand `.fpt`, a finished home, and the archives that the pages speak of.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fpt_model.config import resolve

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(
    r"(?:^`(?P<path>[\w/.]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.M | re.S
)
QUICK = {"query", "command-line", "prune"}  # pages that don't start a pipeline


@pytest.fixture
def checkout(finished, copy_home, archive, forks, tmp_path) -> Path:
    """A copy of the files with a home and archives beside them; `.venv` runs the copy in forks."""
    ours = ("flows", "tasks", "warehouse", "expectations", "fpt_model", "tests")
    for name in ours:  # as they are compiled, too: else each page would compile it all
        # but for what another worker is about to compile, which goes meanwhile
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    forks.start()
    copy_home(finished[0], tmp_path / ".fpt")
    shutil.copy(archive, tmp_path / "ml-1m.zip")
    (tmp_path / ".venv").symlink_to(forks.bin.parent)
    with zipfile.ZipFile(tmp_path / "film-club.zip", "w") as club:
        ratings = [f"{user},{film},4.5,{10**9 + film}" for user in (1, 2) for film in (1, 2, 3)]
        films = [f'{film},"Film {film} (1999)",Drama' for film in (1, 2, 3)]
        heads = {"ratings": "userId,movieId,rating,timestamp", "movies": "movieId,title,genres"}
        for name, rows in (("ratings", ratings), ("movies", films)):
            club.writestr(f"film-club/{name}.csv", "\n".join([heads[name], *rows]) + "\n")
    return tmp_path


@pytest.fixture
def do(checkout, tmp_path_factory, prefect_home, request):
    """Run a command in the copy, whose packages come before the installed ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
    path = f"{checkout / '.venv' / 'bin'}{os.pathsep}{kept['PATH']}"
    kept["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    kept["COLUMNS"] = "200"  # so that no head of a table is broken
    own = prefect_home(tmp_path_factory.mktemp("prefect"))
    kept |= {"PREFECT_HOME": str(own), "PYTHONPATH": "."}
    if "page" in request.fixturenames and request.getfixturevalue("page").stem not in QUICK:
        kept |= request.getfixturevalue("lasting")

    def run(*words: str, **more) -> str:
        done = subprocess.run(
            words, cwd=checkout, env=kept | {"PATH": path}, capture_output=True, text=True, **more
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def follow(page: Path, checkout: Path, do) -> str:
    """Do what a page says from top to bottom; returns what its commands and code print."""
    said = ""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        text, kind = block["text"], block["kind"]
        if block["path"]:
            (checkout / block["path"]).write_text(text, encoding="utf-8")
        elif kind == "diff":
            do("git", "apply", "-", input=text)
        elif kind == "python":
            said += do(sys.executable, "-c", text)
        elif text.startswith("duckdb ") and not shutil.which("duckdb"):
            continue  # the shell is not a Python package of ours
        else:
            assert kind == "sh", f"a block of {kind} is not followed"
            said += do("bash", "-euc", text)
    return said


EXPECTED = {
    "query": ("leaderboard", "SAS-FPT", "checkpoint_sha256", "model,k,ndcg", "('ml-1m'"),
    "add-an-expectation": (" passed",),
    "add-a-data-set": ("film-club", "6"),
    "add-a-variant": ("tisasrec_week",),
    "add-an-engine": (" passed", '"engine": "halves"'),
    "add-an-input": ("Prepared", "SASRec"),
    "add-a-block": ("block attention", "HSTU seed 0, quick epochs=2 validate_every=1"),
    "command-line": ("sas_fpt item_width=64 epochs=20 seed 0", "unknown how long"),
    "prune": (),
    "own-data": ("Ridge", "customer-7", "user is missing", "2 loads"),
    "look-back": ("cold-start as of 2000-06-13", "left out ndcg", "ndcg gap"),
    "import-scores": ("Next of the last (imported)", "users", "other:1 1 100 Next-of-the-last"),
    "gpu-machine": ('"event": "finished"', "SAS-FPT"),
}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=() if page.stem in QUICK else pytest.mark.slow)
        for page in PAGES
        if page.stem in EXPECTED
    ],
)
def test_a_page_works_as_written(page, checkout, do):
    said = follow(page, checkout, do)
    assert [words for words in EXPECTED[page.stem] if words not in said] == []


def test_the_page_on_blocks_names_files_settings_and_words_that_there_are():
    """A row is a file and what stands in it; between rows files and `--set` are named."""
    page = (ROOT / "docs" / "how-to" / "add-a-block.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| `(?P<file>[\w/.]+)` \| (?P<what>.+) \|$", page, re.M)
    assert len(rows) == page.count("\n| ") - 1  # but the head
    for file, what in rows:
        text = (ROOT / file).read_text(encoding="utf-8")
        words = [
            word for word in re.findall(r"`([^`]+)`", what) if not word.startswith(("fpt ", "--"))
        ]
        assert [word for word in words if word not in text] == [], file
    paths = re.findall(r"`([\w]+/[\w/.]+\.\w+)`", page)
    assert len(paths) > len(rows)
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    settings = {"block", *re.findall(r"--set (\w+)=", page)}
    assert settings <= set(resolve("hstu", "quick").to_dict())


def test_the_pages_are_there():
    assert {page.stem for page in PAGES} >= set(EXPECTED)
