"""docs/surprises.md: what it names is there, and what it says that we do is done."""

import ast
import inspect
import re
from pathlib import Path

import polars as pl
import pytest
import torch
from prefect.artifacts import TableArtifact

from fpt_model.engines import module
from fpt_model.engines.distributed import engine as distributed
from tasks import artifacts

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "surprises.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| one would expect")
]


def test_every_row_has_its_five_cells():
    assert len(ROWS) > 25
    assert {len(row) for row in ROWS} == {5}
    assert all(all(row) for row in ROWS)


def named(row: list[str]) -> list[str]:
    return re.findall(r"`([^`]+)`", row[-1])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_findings_and_tests_that_a_row_names_are_there(row):
    for name in named(row):
        path, _, test = name.partition("::")
        if path.endswith(".py"):
            assert f"def {test}" in (ROOT / path).read_text(encoding="utf-8")
        else:
            assert (ROOT / "findings" / f"{name}.sh").is_file(), name
    assert named(row) or row[-1].startswith(("by hand", "none:"))


def test_findings_are_named_in_the_page_or_say_why_not():
    """Those that this pipeline does not meet are few, and known."""
    told = {name for row in ROWS for name in named(row)}
    others = {path.stem for path in (ROOT / "findings").glob("*.sh")} - told
    assert others == {
        "implicit-recommends-what-was-to-be-left-out",
        "openvino-computes-int64-as-int32-and-double-as-float",
        "polars-a-seed-draws-the-same-place-of-every-group",
    }


def test_tables_of_artifacts_are_lists_of_rows():
    """Prefect turns a Polars frame on its side: a list for each column, without its name."""
    frame = pl.DataFrame({"model": ["a", "b"], "ndcg": [0.1, 0.2]})
    assert "model" not in TableArtifact(table=frame).format()
    assert "model" in TableArtifact(table=frame.to_dicts()).format()
    returned = inspect.signature(artifacts.leaderboard).return_annotation
    assert "list[dict[" in str(returned)


def test_no_array_is_saved_by_safetensors_numpy():
    """It saves a transposed array with its values in other places."""
    for room in ("fpt_model", "warehouse", "tasks", "flows", "benchmarks"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    assert node.module != "safetensors.numpy", path
                if isinstance(node, ast.Import):
                    assert all(name.name != "safetensors.numpy" for name in node.names), path


def test_rare_items_are_drawn_however_large_the_counts():
    """In float32 torch draws nothing that comes after 2^24; k-means draws by doubles."""
    weights = torch.tensor([2.0**25, *[1.0] * 2**10])
    drawn = torch.multinomial(weights * 2**10, 2**20, replacement=True)
    assert int((drawn > 0).sum()) == 0
    doubles = torch.multinomial(weights.double(), 2**20, replacement=True)
    assert int((doubles > 0).sum()) > 0


def test_a_batch_is_one_step():
    """With two, Adam moves weights of which the second loss has zero gradients by their means."""
    for engine in (module, distributed):
        assert inspect.getsource(engine).count("optimizer.step()") == 1
