"""The README shows what is recorded, to the last digit."""

import doctest
import importlib
import json
from pathlib import Path
from xml.etree import ElementTree

import harness
import pytest

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def script():
    return importlib.import_module("show_results")


@pytest.fixture
def place(script, monkeypatch, tmp_path):
    """A checkout with nothing but the two pages."""
    for page in ("README.md", "docs/results.md"):
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(
            "# Page\n<!-- results: begin -->\n<!-- results: end -->\nMore.\n"
        )
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "RESULTS", tmp_path / "docs" / "results")
    script.RESULTS.mkdir()
    return tmp_path


def run(variant: str, seed: int, recall: float, **others) -> dict:
    metrics = {"recall_10": recall, "ndcg_10": recall / 2}
    every = {f"full_{name}": value / 2 for name, value in metrics.items()}
    about = {"dataset": "ml-1m", "verified": False, "retention": "5-core", "preset": "paper"}
    made = {"device": "a GPU", "train_seconds": 10.0 + seed, "best_epoch": 50 + 5 * seed}
    return about | {"variant": variant, "seed": seed} | made | metrics | every | others


def rung(variant: str, baseline: str, difference: float, **others) -> dict:
    about = {"dataset": "ml-1m", "retention": "5-core", "preset": "paper", "metric": "ndcg_10"}
    ends = {"low": difference - 0.01, "high": difference + 0.01, "verdict": "undecided"}
    row = about | {"variant": variant, "baseline": baseline, "protocol": "uniform_100"}
    return row | {"difference": difference, "paper_difference": None} | ends | others


def curve(variant: str, values: list[float]) -> dict:
    about = {"dataset": "ml-1m", "retention": "5-core", "preset": "paper", "variant": variant}
    return about | {"seed": 0, "epochs": [5, 10, 15], "valid_ndcg_10": values}


def record(place: Path, name: str, rows: list[dict]) -> None:
    (place / "docs" / "results" / f"{name}.json").write_text(json.dumps(rows))


def rows_of(page: Path) -> list[list[str]]:
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_without_records_the_page_says_so(script, place):
    script.main()
    text = (place / "README.md").read_text()
    assert script.NOTHING in text
    assert text.endswith("More.\n")
    assert not (place / "docs" / "images").exists()


def test_a_table_has_the_paper_beside_the_presets(script, place):
    record(
        place,
        "runs",
        [
            run("sas_fpt", 0, 0.8),
            run("sas_fpt", 1, 0.82),
            run("sasrec", 0, 0.7),
            run("sas_fpt", 0, 0.85, preset="best"),
            run("sas_fpt", 0, 0.6, retention="cold-start"),
            run("sas_fpt", 0, 0.5, dataset="ml-100k", verified=True),
            run("sas_fpt", 0, 0.1, preset="quick"),
        ],
    )
    script.main()
    text = (place / "docs" / "results.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("**")]
    assert titles == [
        "**MovieLens-1M, 5-core (unverified archive)**",
        "**MovieLens-1M, cold-start (unverified archive)**",
        "**MovieLens-100K, 5-core**",
    ]
    rows = rows_of(place / "docs" / "results.md")
    assert rows[:4] == [
        ["model", "paper", "ours, `paper`", "ours, `best`", "`best`, all items"],
        ["---"] * 5,
        ["SASRec", "", ".7000 / .3500", "", ""],
        [
            "SAS-FPT",
            ".8056 / .5702",
            ".8100 ± .0141 / .4050 ± .0071",
            ".8500 / .4250",
            ".4250 / .2125",
        ],
    ]
    assert rows[6] == ["SAS-FPT", ".8030 / .5778", ".6000 / .3000"]
    assert rows[7] == ["model", "ours, `paper`"]


def test_the_headline_has_the_papers_figures_beside_ours(script, place):
    best = run("sas_fpt", 0, 0.85, preset="best")
    taught = run("sas_fpt", 0, 0.86, preset="best_taught")
    request = run("sas_fpt", 0, 0.9, preset="best_request")
    others = [run("sas_fpt", 0, 0.5, dataset="ml-100k"), run("sasrec", 0, 0.7)]
    mean = [run("sas_fpt", 0, 0.8), run("sas_fpt", 1, 0.82)]
    record(place, "runs", [*mean, best, taught, request, *others])
    script.main()
    assert rows_of(place / "README.md")[2:] == [
        [
            *("SAS-FPT", "5-core", ".8056 / .5702"),
            *(".8100 ± .0141 / .4050 ± .0071", ".8500 / .4250", ".4250 / .2125"),
            *(".8600 / .4300", ".4300 / .2150", ".9000 / .4500", ".4500 / .2250"),
        ]
    ]


def test_details_have_each_claim_in_the_ladders_order(script, place):
    record(place, "runs", [run("tisasrec", 0, 0.7), run("sas_fpt", 0, 0.8)])
    record(
        place,
        "comparisons",
        [
            rung("sas_fpt", "tisasrec", 0.02, verdict="better", paper_difference=0.0197),
            rung("tisasrec", "sasrec", -0.005, low=None, high=None, metric="recall_10"),
        ],
    )
    record(place, "curves", [curve("sas_fpt", [0.1, 0.5, 0.6])])
    script.main()
    rows = rows_of(place / "docs" / "results.md")[4:]  # below the overview
    taken = ["1", "50 to 50", "10", "a GPU"]
    assert rows[2] == ["TiSASRec", ".7000 / .3500", ".3500 / .1750", *taken]
    assert rows[6:] == [
        ["TiSASRec over SASRec", "100", "Recall@10", "-.0050", "", "undecided", ""],
        [
            *("SAS-FPT over TiSASRec", "100", "NDCG@10"),
            *("+.0200", "+.0100 to +.0300", "better", "+.0197"),
        ],
    ]


def test_the_ladder_has_its_points_where_they_are(script, place):
    record(place, "runs", [run("sas_fpt", 0, 0.8)])
    rows = [rung("sas_fpt", "tisasrec", 0.02), rung("tisasrec", "sasrec", -0.01)]
    record(place, "comparisons", rows)
    script.main()
    tree = ElementTree.parse(place / "docs" / "images" / "ladder.svg")
    labels = [mark.text for mark in tree.iter(f"{SVG}text")][:2]
    assert labels == ["TiSASRec over SASRec", "SAS-FPT over TiSASRec"]
    figures = importlib.import_module("figures")
    span = 1.1 * (0.03 - -0.02)  # the ends of intervals, and a margin
    first, second = [float(mark.get("cx")) for mark in tree.iter(f"{SVG}circle")]
    assert second - first == pytest.approx(-0.03 / span * figures.PANEL, abs=0.1)
    assert second == pytest.approx((0.0025 + 0.01) / span * figures.PANEL, abs=0.1)


def test_curves_start_where_they_matter(script, place):
    record(place, "runs", [run("sas_fpt", 0, 0.8)])
    record(place, "curves", [curve("sas_fpt", [0.1, 0.5, 0.6]), curve("sasrec", [0.1, 0.2, 0.3])])
    script.main()
    tree = ElementTree.parse(place / "docs" / "images" / "curves.svg")
    coloured = [mark.get("points").split() for mark in tree.iter(f"{SVG}polyline")]
    # below the legend: of .1, .5 and .6 the first is left out, and all of the other model
    assert [len(points) for points in coloured[2:]] == [2]


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_pages_show_the_records(script, page, tmp_path):
    runs, comparisons, known = script.stored("runs"), script.stored("comparisons"), script.facts()
    body = {
        "README.md": script.headline(runs, known),
        "docs/results.md": script.whole(runs, comparisons, known),
    }[page]
    text = (ROOT / page).read_text()
    assert harness.replaced(text, "results", body) == text, "python benchmarks/show_results.py"


def test_the_figures_show_the_records(script, tmp_path):
    known = script.facts()
    script.draw(tmp_path, script.stored("comparisons"), script.stored("curves"), known)
    for path in tmp_path.iterdir():
        kept = ROOT / "docs" / "images" / path.name
        assert kept.read_bytes() == path.read_bytes(), "python benchmarks/show_results.py"


def test_the_examples_hold():
    assert doctest.testmod(importlib.import_module("figures")).failed == 0
