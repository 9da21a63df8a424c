"""The queue of measurements: in order, once each, cut off where that loses nothing."""

import json
import tomllib

import on_a_gpu
import pytest

PLAN = """
[[measurement]]
name = "first"
question = "What is first?"
minutes = 0.01
prepare = ["echo {source} in {home} > {folder}/prepared.txt"]
run = ["cat {sequences} {folder}/prepared.txt", "echo once >> {folder}/times.txt"]
after = "read {folder}/times.txt"

[[measurement]]
name = "long"
question = "Does it go on?"
minutes = 60
goes_on = true
run = ["[ -e {folder}/begun ] || { touch {folder}/begun; exec sleep 60; }"]
after = "nothing"

[[measurement]]
name = "whole"
question = "Is there time for it?"
minutes = 60
run = ["echo never"]
after = "nothing"
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def folder(plan, tmp_path):
    (tmp_path / "s.parquet").write_text("the data\n")
    folder, words = tmp_path / "measured", ["--source", "a.zip", "--home", str(tmp_path)]
    words += ["--sequences", str(tmp_path / "s.parquet"), "--folder", str(folder)]
    assert on_a_gpu.main(["prepare", *words], plan) == 0
    assert on_a_gpu.main(["prepare", *words], plan) == 0
    return folder


def test_what_is_prepared_is_run_once_and_its_words_are_kept(folder, plan, tmp_path, capsys):
    words = ["run", "--folder", str(folder), "--minutes", "1", "--only", "first"]
    assert on_a_gpu.main(words, plan) == 0
    assert on_a_gpu.main(words, plan) == 0
    said = capsys.readouterr().out
    assert f"then: read {folder}/first/times.txt" in said
    assert "first: done before" in said
    source = (on_a_gpu.Path("a.zip")).resolve()
    output = (folder / "first" / "output.txt").read_text()
    assert output == f"the data\n{source} in {tmp_path}\n"
    assert (folder / "first" / "times.txt").read_text() == "once\n"
    assert json.loads((folder / "first" / "done.json").read_text())["seconds"] >= 0


def test_what_goes_on_is_cut_off_and_the_rest_needs_its_minutes(folder, plan, capsys):
    words = ["run", "--folder", str(folder), "--minutes", "0.05"]
    assert on_a_gpu.main([*words, "--only", "long", "whole"], plan) == 0
    said = capsys.readouterr().out
    assert "long: cut off, goes on at the next run" in said
    assert "whole: not begun, 0.0 minutes are left" in said
    assert on_a_gpu.main([*words[:-1], "1", "--only", "long", "whole"], plan) == 0
    said = capsys.readouterr().out
    assert "long: done in" in said
    assert "whole: not begun, 1.0 minutes are left" in said


def test_what_fails_is_told_and_not_done(folder, plan, capsys):
    plan.write_text(plan.read_text().replace("cat {sequences}", "exit 3; cat {sequences}"))
    words = ["run", "--folder", str(folder), "--minutes", "1", "--only", "first"]
    assert on_a_gpu.main(words, plan) == 1
    assert "failed with exit code 3, see" in capsys.readouterr().out
    assert not (folder / "first" / "done.json").exists()


def test_names_that_are_not_there(plan):
    with pytest.raises(SystemExit, match="No measurement is called second"):
        on_a_gpu.main(["list", "--only", "second"], plan)


def test_the_plan_names_scripts_that_are_there():
    tables = tomllib.loads(on_a_gpu.PLAN.read_text())["measurement"]
    every = [on_a_gpu.Measurement(**table) for table in tables]
    assert len({one.name for one in every}) == len(every)
    words = [word for one in every for line in (*one.prepare, *one.run) for word in line.split()]
    scripts = [word for word in words if word.startswith("benchmarks/")]
    assert scripts
    assert [one for one in scripts if not (on_a_gpu.ROOT / one).is_file()] == []
