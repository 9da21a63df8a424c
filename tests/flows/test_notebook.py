"""docs/notebooks/metrics.ipynb runs in a home, and what is kept of it is what it shows, in kind."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "notebooks" / "metrics.ipynb").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "run_notebook", ROOT / "benchmarks" / "run_notebook.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kept(runner) -> nbformat.NotebookNode:
    return runner.read()


@pytest.fixture(scope="module")
def fresh(runner, finished) -> nbformat.NotebookNode:
    return runner.run(runner.read(), finished[0])


def said(notebook: nbformat.NotebookNode) -> str:
    """All that cells show in words."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    return " ".join(
        text for one in outputs for kind, text in one.data.items() if kind.startswith("text/")
    )


def table_of(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The forms of the first table that it shows."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    return next(one.data for one in outputs if "text/html" in one.data)


@pytest.mark.slow
def test_the_notebook_runs_and_its_kept_outputs_are_of_the_same_kind(runner, fresh, kept):
    assert runner.kinds(fresh) == runner.kinds(kept)


def test_what_it_shows_is_of_the_home_that_it_was_given(fresh):
    shown = said(fresh)
    for word in ("ml-1m", "cold-start", "SASRec", "SAS-FPT", "popularity", "One seed is too few"):
        assert word in shown
    assert "synthetic" not in shown


def test_kept_outputs_are_of_the_synthetic_world_and_of_nobody_s_machine(kept):
    assert "synthetic" in said(kept)
    assert "ml-" not in said(kept)
    assert not re.search(r"/(home|tmp|root|Users|work)/", TEXT)
    assert '"execution": {' not in TEXT  # times of a run: a difference each time
    assert len(TEXT) < 300_000


@pytest.mark.slow
def test_a_cell_that_fails_fails_the_run(runner, kept, finished):
    broken = "import duckdb; duckdb.sql('FROM no_such_table')"
    kept.cells = [nbformat.v4.new_code_cell(broken)]
    with pytest.raises(CellExecutionError, match="no_such_table"):
        runner.run(kept, finished[0])


def test_another_column_and_a_table_that_became_words_are_other_kinds(runner, kept):
    before = runner.kinds(kept)
    table = table_of(kept)
    table["text/html"] = table["text/html"].replace("<th>ndcg_10<", "<th>ndcg<")
    other = runner.kinds(kept)
    del table["text/html"]
    assert len({str(before), str(other), str(runner.kinds(kept))}) == 3


def test_nothing_is_left_beside_it(fresh):
    assert [path.name for path in (ROOT / "docs" / "notebooks").iterdir()] == ["metrics.ipynb"]
