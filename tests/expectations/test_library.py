"""Great Expectations comes without two libraries that our audits never ask for anything."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import sys
import expectations.runner
print({"altair", "scipy.stats"} & sys.modules.keys())
from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as kl
print(round(kl.stats.entropy([0.5, 0.5]), 4), kl.alt.Chart.__name__)
import altair, scipy.stats
print(kl.stats.entropy is scipy.stats.entropy, kl.alt.Chart is altair.Chart)
"""


@pytest.mark.slow
def test_what_is_left_out_of_its_import_is_there_for_whoever_asks():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "set()\n0.6931 Chart\nTrue True\n", done.stderr


def test_it_is_imported_in_one_place():
    """Whoever imported it before that would import all of it."""
    found = {
        path.name
        for path in (ROOT / "expectations").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([one.name for one in node.names], [getattr(node, "module", None) or ""])
        if any(one.startswith("great_expectations") for one in name)
    }
    assert found == {"library.py"}
