"""Records: what outlives the warehouse, merged by what a training is."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from warehouse.errors import RefusedError
from warehouse.results_export import export_results

KEYS = [
    *("dataset", "source_sha256", "verified", "retention", "preset", "variant", "seed", "device"),
    *("versions", "code_version", "train_seconds", "best_epoch", "selected_on"),
    *("recall_10", "ndcg_10", "full_recall_10", "full_ndcg_10", "warnings"),
]


@pytest.fixture
def publish_all(home, begun, publish):
    """Two models with two seeds; three and two of four users are hit."""

    def go(preset: str = "paper") -> None:
        begun(home, preset, lambda: fill(preset))

    def fill(preset: str) -> None:
        for model, hits in (("sas_fpt", 3), ("tisasrec", 2)):
            ranks = [1.0] * hits + [50.0] * (4 - hits)
            for seed in (0, 1):
                name = f"{preset}-{model}-{seed}"
                publish(name, ranks, model=model, seed=seed, preset=preset)

    return go


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "results"


def stored(folder: Path, name: str) -> list[dict]:
    return json.loads((folder / f"{name}.json").read_text())


def test_an_object_a_training(home, publish_all, folder):
    publish_all()
    counts = export_results(home, folder, "ml-1m", "paper")
    assert counts == {"runs.json": 4, "curves.json": 4, "comparisons.json": 6}
    row = stored(folder, "runs")[0]
    assert list(row) == KEYS
    assert row == {
        "dataset": "ml-1m",
        "source_sha256": "abc",
        "verified": True,
        "retention": "cold-start",
        "preset": "paper",
        "variant": "sas_fpt",
        "seed": 0,
        "device": "cpu",
        "versions": {"torch": "2"},
        "code_version": "c0de",
        "train_seconds": 1.5,
        "best_epoch": 1,
        "selected_on": "NDCG@10 on validation, uniform_100",
        "recall_10": 0.75,
        "ndcg_10": 0.75,
        "full_recall_10": 0.75,
        "full_ndcg_10": 0.75,
        "warnings": None,
    }
    curve = stored(folder, "curves")[0]
    assert (curve["variant"], curve["seed"]) == ("sas_fpt", 0)
    assert (curve["epochs"], curve["valid_ndcg_10"]) == ([1], [0.1])


def test_an_object_a_rung(home, publish_all, folder):
    publish_all()
    export_results(home, folder, "ml-1m", "paper")
    rows = stored(folder, "comparisons")
    assert [(row["protocol"], row["metric"]) for row in rows] == [
        ("full", "mrr_10"),
        ("full", "ndcg_10"),
        ("full", "recall_10"),
        ("uniform_100", "mrr_10"),
        ("uniform_100", "ndcg_10"),
        ("uniform_100", "recall_10"),
    ]
    last = rows[-1]
    assert (last["variant"], last["baseline"]) == ("sas_fpt", "tisasrec")
    assert (last["difference"], last["verdict"]) == (0.25, "undecided")
    assert last["low"] < 0 < last["high"]
    assert last["paper_difference"] == pytest.approx(0.8030 - 0.7998)
    assert (last["n_users"], last["n_seeds"]) == (4, 2)


def test_rows_of_the_same_training_are_replaced_and_others_stay(home, publish, publish_all, folder):
    publish_all()
    publish_all("best")
    for preset in ("paper", "best"):
        export_results(home, folder, "ml-1m", preset)
    publish(
        "again",
        [1.0] * 4,
        seed=1,
        preset="paper",
        code_version="n3w",
        finished_at=datetime(2026, 1, 3),
    )
    export_results(home, folder, "ml-1m", "paper")
    rows = stored(folder, "runs")
    assert [(row["preset"], row["variant"], row["seed"], row["recall_10"]) for row in rows] == [
        ("best", "sas_fpt", 0, 0.75),
        ("best", "sas_fpt", 1, 0.75),
        ("best", "tisasrec", 0, 0.5),
        ("best", "tisasrec", 1, 0.5),
        ("paper", "sas_fpt", 0, 0.75),
        ("paper", "sas_fpt", 1, 1.0),
        ("paper", "tisasrec", 0, 0.5),
        ("paper", "tisasrec", 1, 0.5),
    ]
    assert len(stored(folder, "curves")) == 8


def test_seeds_of_earlier_settings_are_not_averaged_with_those_of_now(home, publish_all, folder):
    """Once a preset was changed, and two seeds of it stood beside three of what it was before."""
    publish_all()
    export_results(home, folder, "ml-1m", "paper")
    earlier = [row | {"seed": 7} for row in stored(folder, "runs") if row["seed"] == 1]
    both = [*stored(folder, "runs"), *earlier]
    (folder / "runs.json").write_text(json.dumps(both), encoding="utf-8")
    export_results(home, folder, "ml-1m", "paper")
    assert {row["seed"] for row in stored(folder, "runs")} == {0, 1}


def test_the_same_records_leave_the_same_bytes(home, publish_all, folder):
    publish_all()
    export_results(home, folder, "ml-1m", "paper")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    export_results(home, folder, "ml-1m", "paper")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_published_is_refused_and_nothing_written(home, publish_all, folder):
    publish_all()
    with pytest.raises(RefusedError, match="No training on ml-100k with preset paper is published"):
        export_results(home, folder, "ml-100k", "paper")
    assert not folder.exists()


def test_a_file_that_is_no_json_is_refused(home, publish_all, folder):
    publish_all()
    folder.mkdir()
    (folder / "runs.json").write_text("half")
    with pytest.raises(RefusedError, match=r"runs\.json is no JSON"):
        export_results(home, folder, "ml-1m", "paper")
