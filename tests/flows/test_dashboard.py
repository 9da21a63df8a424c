"""docs/dashboard: its questions on a finished home, its charts on their columns, its settings."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "docs" / "dashboard"
QUESTIONS = {path.stem: path.read_text(encoding="utf-8") for path in (FOLDER / "sql").iterdir()}
EMPTY_WHEN_ALL_IS_WELL = {"not_held"}


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboard_bundle", FOLDER / "bundle.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def answers(finished) -> dict[str, list[dict]]:
    with duckdb.connect(str(finished[0] / "published.duckdb"), read_only=True) as connection:
        return {name: connection.sql(sql).pl().to_dicts() for name, sql in QUESTIONS.items()}


@pytest.fixture(scope="module")
def files(made, finished) -> dict[str, dict]:
    made_of = made.bundle(finished[0] / "published.duckdb")
    return {name: yaml.safe_load(text) for name, text in made_of.items()}


def test_every_question_has_an_answer(answers):
    empty = {name for name, rows in answers.items() if not rows}
    assert empty <= EMPTY_WHEN_ALL_IS_WELL


def test_the_leaderboard_has_popularity_and_says_who_is_above_it(answers):
    rows = {row["model"]: row for row in answers["leaderboard"]}
    assert set(rows) == {"SASRec", "SAS-FPT", "popularity"}
    for name, row in rows.items():
        above = row["NDCG@10 of 100"] > rows["popularity"]["NDCG@10 of 100"]
        assert row["above popularity"] == above, name
    assert not rows["popularity"]["above popularity"]
    bars = {(row["model"], row["among"]): row["ndcg"] for row in answers["against_popularity"]}
    assert bars["SASRec", "all items"] == rows["SASRec"]["NDCG@10 of all"]
    assert bars["SASRec", "100 sampled items"] == rows["SASRec"]["NDCG@10 of 100"]


def test_a_pair_is_compared_once_a_metric(answers):
    pairs = [(row["pair"], row["metric"]) for row in answers["comparisons"]]
    assert sorted(pairs) == sorted(
        ("SAS-FPT − SASRec", f"{metric}@10 of {among}")
        for metric in ("MRR", "NDCG", "Recall")
        for among in ("100", "all")
    )
    assert all(row["low"] < row["difference"] < row["high"] for row in answers["comparisons"])


def test_audits_count_what_held(answers):
    assert all(
        row["held"] + row["critical"] + row["warnings"] == row["checked"]
        for row in answers["audits"]
    )
    failed = sum(row["critical"] + row["warnings"] for row in answers["audits"])
    assert len(answers["not_held"]) == failed


def test_every_question_ends_in_a_whole_order(answers, finished):
    """With two threads as with one: a tie would move rows about between two looks."""
    with duckdb.connect(str(finished[0] / "published.duckdb"), read_only=True) as connection:
        for name, sql in QUESTIONS.items():
            assert connection.sql(sql).pl().to_dicts() == answers[name], name


def test_a_question_says_what_it_answers():
    assert [name for name, sql in QUESTIONS.items() if not sql.startswith("-- ")] == []


def test_charts_name_questions_and_columns_that_there_are(made, answers, files):
    charts = [chart for _, _, charts in made.pages() for chart in charts]
    assert {chart.sql for chart in charts} == set(QUESTIONS)
    for chart in charts:
        dataset = files[f"datasets/published/{chart.sql}.yaml"]
        columns = {column["column_name"] for column in dataset["columns"]}
        assert chart.columns() <= columns, chart.title
        for column, value in chart.where.items():
            assert value in {row[column] for row in answers[chart.sql]}, chart.title


def test_the_slices_shown_are_all_that_there_are(made, answers):
    shown = {
        c.where["slice"] for _, _, charts in made.pages() for c in charts if "slice" in c.where
    }
    assert shown == {row["slice"] for row in answers["slices"]}


def test_every_part_of_the_layout_stands_in_its_parent_and_every_chart_on_a_page(files):
    (board,) = [content for name, content in files.items() if name.startswith("dashboards/")]
    placed = {name: part for name, part in board["position"].items() if isinstance(part, dict)}
    for name, part in placed.items():
        assert part["id"] == name
        for child in part.get("children", ()):
            assert placed[child]["parents"][-1] == name
    uuids = {part["meta"]["uuid"] for part in placed.values() if part["type"] == "CHART"}
    assert uuids == {
        content["uuid"] for name, content in files.items() if name.startswith("charts/")
    }
    for part in placed.values():
        if part["type"] == "ROW":
            assert sum(placed[child]["meta"]["width"] for child in part["children"]) <= 12


def test_made_again_it_has_the_same_ids_so_that_it_replaces_what_was_there(made, finished, files):
    again = made.bundle(finished[0] / "published.duckdb")
    again.pop("metadata.yaml")  # it has the time
    assert {yaml.safe_load(text)["uuid"] for text in again.values()} == {
        content["uuid"] for content in files.values() if "uuid" in content
    }


CONFINED = """
import concurrent.futures, os, superset_config
from pathlib import Path
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
home = Path(os.environ["FPT_HOME"])
address = f"duckdb:///{home}/published.duckdb?access_mode=read_only"
def ask(sql):
    try:
        with create_engine(address, poolclass=NullPool).connect() as connection:
            return str(connection.execute(text(sql)).fetchall())
    except Exception as error:
        return "refused: " + str(error).splitlines()[0]
for sql in ("SELECT count(*) > 0 FROM mart.user_ranks",
            f"SELECT content FROM read_text('{home}/superset/key')",
            "CREATE TABLE t (i INT)",
            "SET enable_external_access = true", "SET allowed_directories = ['/']"):
    print(ask(sql))
with concurrent.futures.ThreadPoolExecutor(8) as threads:
    print({*threads.map(ask, ["SELECT count(*) > 0 FROM leaderboard"] * 64)})
"""


def test_a_question_reads_what_is_published_and_nothing_else(copy):
    environment = {"FPT_HOME": str(copy), "PYTHONPATH": str(FOLDER)}
    done = subprocess.run(
        [sys.executable, "-c", CONFINED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    published, *others, at_once = done.stdout.splitlines()
    assert published == "[(True,)]"
    assert [line for line in others if not line.startswith("refused: ")] == []
    assert at_once == "{'[(True,)]'}"
    assert (copy / "superset" / "key").stat().st_mode & 0o777 == 0o600


ASKED = """
import sys, superset_config
for sql in sys.argv[1:]:
    try:
        print(superset_config.SQL_QUERY_MUTATOR(sql) == sql)
    except PermissionError:
        print("refused")
"""
WRITES = ["CREATE TABLE t (i INT)", "INSERT INTO t VALUES (1)", "SELECT 1; DROP TABLE t"]


def test_what_would_write_is_refused_and_no_question_is(tmp_path):
    asked = [*QUESTIONS.values(), "SELECT 'copy' -- query", *WRITES]
    done = subprocess.run(
        [sys.executable, "-c", ASKED, *asked],
        env={"FPT_HOME": str(tmp_path), "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
    )
    questions = len(asked) - len(WRITES)
    assert done.stdout.split() == ["True"] * questions + ["refused"] * len(WRITES), done.stderr


def test_the_picture_is_small_and_there():
    picture = FOLDER.parent / "images" / "dashboard.png"
    assert picture.stat().st_size < 250_000


def test_what_is_installed_is_exact_and_names_no_place():
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if line.count("==") != 1 or "/" in line] == []
