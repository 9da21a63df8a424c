"""The page of what libraries measure: our row is our SQL's, the others' are the script's."""

import importlib
import math
import re
import sys
from pathlib import Path

import pytest
import torch

from fpt_model.evaluation.ranks import _ranks
from warehouse.questions import ask

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "findings" / "how-libraries-measure"
PAGE = (ROOT / "docs" / "how-libraries-measure.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ")
][1:]


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT)
    yield importlib.import_module("table")
    sys.modules.pop("table")


def test_our_row_is_what_our_sql_gives(home, publish):
    publish("a", [2.0] * 4)
    question = "SELECT ndcg, recall, precision, mrr FROM mart.metrics WHERE k = 10 LIMIT 1"
    ndcg, recall, precision, mrr = ask(home, question).row(0)
    (ours,) = [row for row in ROWS if row[0].startswith("ours")]
    assert ndcg == pytest.approx(1 / math.log2(3))
    assert ours[1] == f"{ndcg:.4f}".removeprefix("0") == ".6309"
    assert (recall, precision, mrr) == (1, pytest.approx(0.1), 0.5)
    own, others = torch.tensor([[1.0]]), torch.ones(1, 9)
    found = _ranks(torch.tensor([0]), own, {"full": others})
    assert found.ranks["full"].tolist() == [1 + 9 / 2]
    assert ours[4] == "half of the equal ones"


def test_the_page_has_the_rows_of_the_script_in_its_order(table):
    assert [row[0] for row in ROWS[1:]] == list(table.NAMES.values())
    assert {len(row) for row in ROWS} == {1 + len(table.COLUMNS)}
    assert {path.stem.removeprefix("with_") for path in SCRIPT.glob("with_*.py")} == set(
        table.NAMES
    )
    shell = (ROOT / "findings" / "how-libraries-measure.sh").read_text(encoding="utf-8")
    asked = re.findall(r"^measure (\S+) (.+)$", shell, re.MULTILINE)
    assert sorted(name for _, names in asked for name in names.split()) == sorted(table.NAMES)
    assert all((SCRIPT / f"{name}.txt").exists() for name, _ in asked)


def test_versions_are_pinned_as_the_page_says(table):
    pinned = dict(
        line.split("==")
        for path in SCRIPT.glob("*.txt")
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    names = {
        "replay": "replay-rec",
        "pytrec_eval": "pytrec-eval-terrier",
        "sklearn": "scikit-learn",
    }
    for name, shown in table.NAMES.items():
        package = names.get(name, name.replace("_", "-"))
        assert pinned[package] in shown.split()


def test_a_row_that_differs_is_told(table, tmp_path, capsys):
    cells = dict(zip(table.COLUMNS, ROWS[1][1:], strict=True))
    page = tmp_path / "page.md"
    page.write_text("\n".join(table.row(name, cells) for name in table.NAMES.values()))
    for name in table.NAMES:
        (tmp_path / f"{name}.json").write_text(str(cells).replace("'", '"'))
    assert table.main(tmp_path, page) == 0
    (tmp_path / "ranx.json").write_text(str(cells | {"ndcg": ".5"}).replace("'", '"'))
    assert table.main(tmp_path, page) == 1
    assert "| ranx 0.3.21 | .5 |" in capsys.readouterr().out
