"""The file of figures: one object a name, whoever wrote it."""

import argparse
import importlib
import json
from pathlib import Path

import pytest

KEYS = ["name", "ours", "reference", "ratio", "unit", "device", "versions", "date", "command"]


@pytest.fixture
def results():
    return importlib.import_module("results")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "speed.json"


def figure(results, name, ours, **others):
    fixed = {"unit": "s", "device": "a CPU", "versions": {"duckdb": "2.0.0"}, "command": "python x"}
    return results.Result(name, ours, **(fixed | others))


def stored(path):
    return json.loads(path.read_text())


def test_an_object_has_its_keys_in_order(results, path):
    results.record(
        figure(results, "etl", 3.0, reference=6.0, ratio=2.0, date="2020-02-03"), path=path
    )
    (row,) = stored(path)
    assert list(row) == KEYS
    assert list(row.values())[:5] == ["etl", 3.0, 6.0, 2.0, "s"]


def test_a_name_is_replaced_and_the_others_stay_in_order(results, path):
    results.record(figure(results, "b", 1.0), figure(results, "c", 2.0), path=path)
    results.record(figure(results, "a", 3.0), path=path)
    results.record(figure(results, "b", 4.0), path=path)
    assert [(row["name"], row["ours"]) for row in stored(path)] == [
        ("a", 3.0),
        ("b", 4.0),
        ("c", 2.0),
    ]


def test_the_same_result_leaves_the_same_bytes(results, path):
    results.record(figure(results, "µ", 1.0), path=path)
    before = path.read_bytes()
    results.record(figure(results, "µ", 1.0), path=path)
    assert path.read_bytes() == before
    assert "µ" in before.decode()


def test_figures_of_another_machine_are_taken_over(results, path, tmp_path):
    there = tmp_path / "there.json"
    results.record(figure(results, "a", 1.0, date="2020-02-03"), path=there)
    results.record(figure(results, "a", 9.0), figure(results, "b", 2.0), path=path)
    assert results.merge(there, path) == ["a"]
    assert [(row["name"], row["ours"]) for row in stored(path)] == [("a", 1.0), ("b", 2.0)]
    assert stored(path)[0] == stored(there)[0]


@pytest.mark.parametrize(
    ("words", "names"), [([], None), (["--record-to", "x.json"], ["a"]), (["--record"], ["a"])]
)
def test_a_figure_goes_where_it_was_asked_to(words, names, results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results, "SPEED", Path("x.json"))
    parser = argparse.ArgumentParser()
    results.add_arguments(parser)
    results.keep(parser.parse_args(words), figure(results, "a", 1.0))
    assert names == ([row["name"] for row in stored(Path("x.json"))] if words else None)


def test_without_a_reference_there_is_none(results, path):
    results.record(figure(results, "etl", 3.14159265), path=path)
    (row,) = stored(path)
    assert (row["ours"], row["reference"], row["ratio"]) == (3.142, None, None)


def test_a_command_keeps_folders_of_this_machine_to_itself(results):
    called = ["/x/benchmarks/etl.py", "--source", "/home/me/ml-1m.zip", "--runs", "5"]
    assert results.command(called) == "python benchmarks/etl.py --source ml-1m.zip --runs 5"


def test_the_device_says_its_cores(results):
    assert results.cpu().endswith("cores")


def test_the_committed_file_can_be_written_again_without_a_change(results, path):
    if not results.SPEED.exists():
        pytest.skip("nothing was recorded yet")
    rows = stored(results.SPEED)
    path.parent.mkdir()
    path.write_text(json.dumps(rows))
    results.record(path=path)
    assert path.read_bytes() == results.SPEED.read_bytes()
