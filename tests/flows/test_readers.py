"""Asking what was published: the prompt, questions by name, recommendations, the report."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
from rich.console import Console

from flows import console


def published(home: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_questions_by_name_from_the_command_line(finished, fpt):
    home, _ = finished
    names = {row["question"] for row in fpt("sql", "--list", "--json", home=home).rows}
    assert "lineage" in names
    rows = fpt("sql", "leaderboard", "--format", "json", home=home).rows
    assert {row["model"] for row in rows} == {"SASRec", "SAS-FPT", "popularity"}
    table = fpt("sql", "lineage", home=home).out
    (archive,) = published(home, "SELECT source_sha256 FROM raw.loads")[0]
    assert archive in table  # whole, on a line of its own, not folded in a column


def test_a_wrong_name_is_told_the_right_ones(finished, fpt):
    answer = fpt("sql", "leaderbord", home=finished[0])
    assert answer.code == 2
    assert "got leaderbord, expected leaderboard." in answer.err


def test_sql_from_a_pipe(finished):

    command = [Path(sys.executable).parent / "fpt", "sql", "--format", "csv"]
    done = subprocess.run(
        [*command, "--home", finished[0]], input="SELECT 6 * 7 AS x", capture_output=True, text=True
    )
    assert done.stdout == "x\n42\n"


def test_a_prompt_answers_survives_errors_and_ends(finished, prompt):
    terminal = prompt(finished[0])
    terminal.until("fpt> ")
    assert ".tables" in terminal.type(".help\n", "leave")
    assert "leaderboard" in terminal.type(".tables\n", "raw.users")
    assert "mart.metrics" in terminal.type("show tables;\n", "raw.users")
    terminal.until("fpt> ")
    terminal.type("leaderbord\n", "expected leaderboard.")
    terminal.type(".tabels\n", "expected .tables")
    assert "SAS-FPT" in terminal.type("leaderboard model=sas_fpt\n", "0.")
    assert ".quit" in terminal.type("HELP;\n", "leave")
    terminal.type("SELECT 40 +\n", "…> ")
    terminal.type("2 AS x;\n", " 42 ")
    terminal.until("fpt> ")
    terminal.type("SELEKT 1;\n", "Parser Error")
    terminal.until("fpt> ")
    terminal.type("SELECT half", "half")
    terminal.interrupt("fpt> ")
    terminal.type("seeds\n", "SASRec")
    os.write(terminal.screen, b"exit\n")
    assert os.waitpid(terminal.pid, 0)[1] == 0


def test_what_does_not_fit_is_shown_a_value_a_line(monkeypatch):
    import io

    monkeypatch.setattr(console, "out", Console(file=io.StringIO(), width=40))
    console.show_answer([{"id": "x" * 64, "title": "\x1b[31m[bold]"}, {"id": "y", "title": None}])
    lines = console.out.file.getvalue().splitlines()
    assert lines[0] == "─── 1"
    assert lines[1] == f"id     {'x' * 64}"
    assert lines[2] == "title  \\x1b[31m[bold]"
    console.show_answer([{"id": "short"}])
    assert "─── 1" not in console.out.file.getvalue()[len("\n".join(lines)) :]
    console.out.file.truncate(0)
    console.show_answer([{"sha256": "x" * 64}], "Landed")  # a checksum can be copied
    assert console.out.file.getvalue().strip("\0").splitlines()[0] == "Landed"
    assert "x" * 64 in console.out.file.getvalue()


@pytest.mark.slow
def test_recommendations_reach_screen_file_and_tables(copy, fpt, tmp_path):
    (run_id,) = published(copy, "SELECT run_id FROM mart.training_runs WHERE model = 'sas_fpt'")[0]
    assert fpt("recommend", home=copy).code != 0  # nobody is named
    assert published(copy, "FROM mart.recommendations") == []
    file = tmp_path / "top.parquet"
    options = ("--run", run_id[:6], "--top", 3, "--user", 9, "--user", 5, "--output", file)
    answer = fpt("recommend", *options, "--publish", "--json", home=copy)
    assert answer.code == 0, answer.err
    assert [(row["user"], row["rank"]) for row in answer.rows] == [
        (user, rank) for user in (5, 9) for rank in (1, 2, 3)
    ]
    assert all(row["title"].startswith("Café ") for row in answer.rows)
    seen = published(copy, "SELECT raw_item_id FROM raw.ratings WHERE raw_user_id = 5")
    assert not {row["movie"] for row in answer.rows if row["user"] == 5} & {row[0] for row in seen}
    stored = published(copy, "SELECT run_id, raw_user_id, rank, score FROM mart.recommendations")
    assert sorted(stored) == sorted(
        (run_id, row["user"], row["rank"], pytest.approx(row["score"])) for row in answer.rows
    )
    assert pl.read_parquet(file)["title"].to_list() == [row["title"] for row in answer.rows]
    for options in (("--publish",), ()):
        refused = fpt("recommend", "--user", 61, *options, home=copy)
        assert (refused.code, refused.out) == (2, "")
        assert "User 61 is not in ml-1m" in refused.err
    assert not list((copy / "staging").iterdir())


@pytest.mark.slow
def test_somebody_new_and_an_explanation_need_no_server(finished, fpt, tmp_path):
    home, _ = finished
    before = (home / "published.duckdb").read_bytes()
    history = tmp_path / "history.txt"
    history.write_text("café 7 (1999)\nCafé 8 (1999)\n\n9\n")
    options = ("--top", 5, "--json")
    named = fpt("recommend", "--user", 5, "--model", "SAS-FPT", *options, home=home)
    assert named.code == 0, named.err
    assert {
        (row["user"], row["model"], row["dataset"], row["retention"]) for row in named.rows
    } == {(5, "SAS-FPT", "ml-1m (unverified: small.zip)", "cold-start")}
    (snapshot,) = published(home, "SELECT snapshot_id FROM core.snapshots")[0]
    assert {row["snapshot_id"] for row in named.rows} == {snapshot}
    shown = fpt("recommend", "--user", 5, "--top", 1, home=home).out
    whose = "SAS-FPT seed 0, quick, ml-1m (unverified: small.zip) cold-start"
    assert f"Recommended by {whose} (snapshot {snapshot})" in " ".join(shown.split())
    by_file = fpt("recommend", "--history", history, *options, home=home)
    assert by_file.code == 0, by_file.err
    assert [row["rank"] for row in by_file.rows] == [1, 2, 3, 4, 5]
    assert not {row["movie"] for row in by_file.rows} & {7, 8, 9}
    by_number = fpt("recommend", "--history", "7,8,9", *options, home=home)
    assert [row["movie"] for row in by_number.rows] == [row["movie"] for row in by_file.rows]
    rows = fpt("explain", 5, "--top", 100, "--json", home=home).rows
    assert len(rows) == 14
    assert sum(row["weight"] for row in rows) == pytest.approx(1, abs=1e-4)
    assert {row["before"] for row in rows if row["position"] in (14, 13)} == {
        "same second",
        "1 day",
    }
    assert (home / "published.duckdb").read_bytes() == before


@pytest.mark.slow
def test_the_report_is_one_file(copy, fpt, tmp_path):
    file = tmp_path / "report.html"
    answer = fpt("report", "--output", file, "--user", 5, "--json", home=copy)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out) == [{"report": str(file)}]
    text = file.read_text()
    for words in (
        "SAS-FPT",
        "User 5; ",
        "Café ",
        "Popularity",
        "Recommended",
        "<svg",
        "ml-1m (unverified: small.zip)",
    ):
        assert words in text
    unknown = fpt("report", "--output", file, "--user", 99999, home=copy)
    assert unknown.code != 0
    assert "99999" in unknown.err
    assert file.read_text() == text
    for weights in copy.glob("runs/*/best.safetensors"):
        weights.unlink()
    assert fpt("report", "--output", file, home=copy).code == 0  # a report needs no weights
    assert re.search(r"Not shown: .*best\.safetensors is missing", file.read_text())
