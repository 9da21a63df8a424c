"""Questions with a name, the dictionary, and other processes that read while we publish."""

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from warehouse.catalogue import replace_readers_copy, writing
from warehouse.dictionary import dictionary
from warehouse.errors import RefusedError
from warehouse.following import newest
from warehouse.publishing import store_outcomes
from warehouse.questions import ask
from warehouse.saved_queries import MODELS, may_be_name, saved_queries, sql_of
from warehouse.suspicions import store_warnings

DICTIONARY = Path(__file__).parents[2] / "docs" / "data-dictionary.md"
QUESTIONS = [one.name for one in saved_queries()]
FAILED = {
    "table_name": "raw.items",
    "expectation": "title not blank",
    "severity": "warning",
    "success": False,
    "observed": None,
    "unexpected_count": 3,
    "sample": [{"raw_item_id": 7}],
    "reason": "A blank title shows as nothing.",
}

ADVICE = pl.DataFrame(
    {
        "raw_user_id": [1],
        "user_id": [1],
        "rank": [1],
        "item_id": [6],
        "score": [2.5],
        "created_at": [datetime(2026, 1, 3)],
    }
)
NEXT_RANKS = "FROM mart.user_ranks WHERE split = 'test' AND run_id = ?"
NEXT_TARGETS = pl.DataFrame(
    {
        "user_id": [1, 2, 3, 4],
        "raw_item_id": [1] * 4,
        "item_id": [1] * 4,
        "timestamp": [900] * 4,
        "waited_seconds": [60] * 4,
    }
)
REJECTS = pl.DataFrame(
    {"member": ["ratings.dat"], "source_row": [9], "line": ["1::x"], "reason": ["not a number"]}
)


@pytest.fixture
def world(home, begun, publish, published_snapshot, store_frames):
    """Two variants with two seeds and one, a failed audit, a recommendation; published."""
    begun(home, "world", lambda: _fill(home, publish, published_snapshot, store_frames))
    return home


def _fill(home, publish, published_snapshot, store_frames) -> None:
    publish("b0", [1.0, 2.0, 50.0, 50.0], model="tisasrec", train_seconds=9.0)
    publish("a0", [1.0, 1.0, 1.0, 50.0], model="sas_fpt")
    publish("a1", [1.0, 1.0, 50.0, 50.0], model="sas_fpt", seed=1)
    grave = FAILED | {"severity": "critical", "unexpected_count": 1}
    store_outcomes(home, [FAILED, grave, FAILED | {"success": True}], load_id="load")
    snapshot_id = published_snapshot.snapshot_id
    store_frames(
        {
            ("mart.recommendations", "a0"): ADVICE,
            ("mart.next_targets", snapshot_id): NEXT_TARGETS,
            ("raw.rejects", "load"): REJECTS,
            **{
                ("mart.next_ranks", run_id): ask(home, NEXT_RANKS, [run_id])
                for run_id in ("a0", "a1", "b0")
            },
        }
    )
    found = {"too-good": [{"run_id": "a0", "split": "test", "protocol": "full", "users": 60}]}
    store_warnings(home, "audit", ["a0"], ["test"], found, [])
    with writing(home) as connection:
        connection.execute(
            "INSERT INTO mart.run_lists VALUES"
            " ('a0', 10, 'everybody', 'everybody', 0.5, 0.7, 2.5, 0.2, 0.1, 1, NULL, 4)"
        )


def test_a_question_has_an_answer_and_the_same_one_again(world):
    for name in QUESTIONS:
        first = ask(world, sql_of(name))
        assert first.height > 0, name
        if "days_since_training" not in first.columns:
            assert first.equals(ask(world, sql_of(name))), name


def test_there_are_a_dozen_and_each_says_what_it_answers():
    assert len(QUESTIONS) >= 12
    assert {"leaderboard", "paper-gap", "significance", "slices", "worst-audits"} <= set(QUESTIONS)
    for one in saved_queries():
        assert one.sql.startswith("-- ")
        assert all(setting.says for setting in one.settings.values())
        assert 20 < len(one.description) < 120
        assert one.description.endswith((".", "?"))


def test_a_name_is_its_file_and_anything_else_is_sql():
    assert sql_of(" seeds ").startswith("-- How far the seeds")
    assert sql_of("SELECT 1") == "SELECT 1"
    with pytest.raises(RefusedError, match=r"got leaderbord, expected leaderboard\."):
        sql_of("leaderbord")
    with pytest.raises(RefusedError, match="got xyz, expected audits, backtest, beyond-accuracy"):
        sql_of("xyz")


def test_settings_have_defaults_and_are_put_in_as_values(world):
    assert ask(world, sql_of("popular k=2")).height == 2
    assert ask(world, sql_of("popular")).height == 6
    models = ask(world, sql_of("leaderboard model=sas_fpt")).get_column("model").to_list()
    assert models == ["SAS-FPT"]
    assert sql_of("slices model=SAS-FPT") == sql_of("slices model=sas-fpt")
    full = ask(world, sql_of("seeds protocol=full k=1"))
    assert full.get_column("highest").to_list() == [0.75, 0.25]
    assert ask(world, sql_of("seeds preset=paper")).is_empty()
    assert ask(world, sql_of("seeds \"preset=x' OR 'x' = 'x\"")).is_empty()


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("slices modell=SAS-FPT", "slices has no setting of this name: got modell, expected data"),
        ("slices model=SASFPT", "no such model: got SASFPT, expected SAS-FPT"),
        ("slices retention=5core", "no such retention: got 5core, expected 5-core"),
        ("popular k=many", "k is no whole number: got many"),
        ("popular k=-1", "k is no whole number: got -1"),
        ("audits k=1", "audits has no setting of this name: got k, expected no setting at all"),
        ("leaderbord model=SAS-FPT", "got leaderbord, expected leaderboard"),
    ],
)
def test_a_mistyped_setting_is_told_what_may_be_meant(question, said):
    with pytest.raises(RefusedError, match=said):
        sql_of(question)


def test_what_looks_like_sql_is_left_alone():
    for text in ("SELECT a=1", "FROM x", "leaderboard WHERE k=1", "WITH a AS (SELECT 1) FROM a"):
        assert sql_of(text) == text
    assert not may_be_name("SELECT")
    assert may_be_name("seeds k=5")
    assert not may_be_name("seeds k = 5")


def test_every_setting_is_used_and_every_value_is_one():
    for one in saved_queries():
        body = one.sql.split("SELECT", 1)[1]
        assert set(re.findall(r"\$(\w+)", body)) == set(one.settings), one.name
        assert "$" not in re.sub(r"^--.*$", "", one.filled({}), flags=re.M)


def test_the_models_that_settings_know_are_those_of_the_tables(world):
    found = dict(ask(world, "SELECT model, display_name FROM mart.models").rows())
    assert found | {"popularity": "popularity"} == MODELS


def test_show_tables_shows_those_of_all_schemas_and_readers_views_first(world):
    for text in ("SHOW TABLES", "show  tables ;"):
        names = ask(world, sql_of(text)).get_column("name").to_list()
        assert names[:5] == [
            *("beyond_accuracy", "leaderboard", "recommendations", "runs", "slices")
        ]
        assert {"mart.metrics", "core.items", "raw.ratings"} <= set(names)


def test_the_leaderboard_by_name_agrees_with_the_view(world):
    named = ask(world, sql_of("leaderboard"))
    view = ask(
        world, "SELECT model, round(ndcg_10, 4) FROM leaderboard ORDER BY ndcg_10 DESC, model"
    )
    assert named.select("model", "ndcg_10").rows() == view.rows()
    assert set(named["model"]) == {"SAS-FPT", "TiSASRec", "popularity"}


def test_a_rung_is_compared_with_the_one_below_it(world):
    rows = ask(world, sql_of("significance")).rows(named=True)
    recall = next(row for row in rows if row["metric"] == "recall_10")
    assert (recall["variant"], recall["baseline"]) == ("SAS-FPT", "TiSASRec")
    # recall of SAS-FPT, mean over seeds: 1, 1, 1/2, 0; of TiSASRec: 1, 1, 0, 0
    assert recall["difference"] == pytest.approx(1 / 8)
    assert recall["low"] < 0 < recall["high"]
    assert recall["paper_difference"] == pytest.approx(0.8030 - 0.7998)
    assert (recall["verdict"], recall["users"], recall["seeds"]) == ("undecided", 4, 1)
    assert len(rows) == 3


def test_the_gravest_failed_expectation_comes_first(world):
    rows = ask(world, sql_of("worst-audits")).rows(named=True)
    assert [(row["severity"], row["offending_rows"]) for row in rows] == [
        ("critical", 1),
        ("warning", 3),
    ]
    assert "7" in rows[0]["sample"]


def test_the_slowest_training_comes_first_with_its_cost(world):
    row = ask(world, sql_of("slowest-runs")).row(0, named=True)
    assert (row["run_id"], row["seconds"], row["seconds_an_epoch"]) == ("b0", 9.0, 1.0)


def test_a_number_is_followed_down_to_the_archive(world, published_snapshot):
    row = ask(world, sql_of("lineage")).row(0, named=True)
    assert row["run_id"] == "a0"
    assert row["checkpoint_sha256"] == "abc"
    assert row["sequences_sha256"] == published_snapshot.sequences_sha256
    assert (row["source"], row["source_sha256"]) == ("ml-1m.zip", "abc")


def test_recommendations_have_titles(world):
    row = ask(world, sql_of("recommendations")).row(0, named=True)
    assert (row["user"], row["rank"], row["title"]) == ("1", 1, "Item 6")


def test_the_data_dictionary_is_not_stale():
    assert DICTIONARY.read_text(encoding="utf-8") == dictionary(), (
        "stale: run `fpt sql --dictionary > docs/data-dictionary.md`"
    )


def test_the_dictionary_has_every_table_and_says_something_of_each_column(world):
    query = "SELECT DISTINCT table_schema || '.' || table_name FROM information_schema.tables"
    tables = {name for (name,) in ask(world, query).rows()}
    written = dictionary()
    assert set(re.findall(r"^## (\w+\.\w+)$", written, re.M)) == tables
    assert "| None |" not in written
    assert all(f"`fpt sql {name}`" in written for name in QUESTIONS)


READER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as published:
    count = "SELECT count(*) FROM mart.training_runs"
    print(published.execute(count).fetchone()[0], flush=True)
    sys.stdin.readline()
    print(published.execute(count).fetchone()[0], flush=True)
"""


def test_another_process_reads_on_while_the_copy_is_replaced(world, publish):
    command = [sys.executable, "-c", READER, str(world.published)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline() == "3\n"
        publish("c0", [1.0] * 4, model="sasrec")
        out, _ = reader.communicate("on\n", timeout=60)
    assert reader.returncode == 0
    assert out == "3\n"  # the state of the moment in which it was opened
    assert ask(world, "SELECT count(*) AS n FROM mart.training_runs").item() == 4


def test_a_reader_without_read_only_does_not_stop_the_pipeline(world, publish):
    """Such a reader locks its own file; the next copy is another file."""
    code = READER.replace(", read_only=True", "")
    command = [sys.executable, "-c", code, str(world.published)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline() == "3\n"
        publish("c0", [1.0] * 4, model="sasrec")
        assert ask(world, "SELECT count(*) AS n FROM mart.training_runs").item() == 4
        reader.communicate("on\n", timeout=60)


def test_a_tool_that_speaks_sqlalchemy_sees_tables_and_descriptions(world):
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"duckdb:///{world.published}?access_mode=read_only")
    look = sqlalchemy.inspect(engine)
    assert "leaderboard" in look.get_view_names(schema="mart")
    columns = {column["name"]: column["comment"] for column in look.get_columns("metrics", "mart")}
    assert columns["k"] == "Cut-off: 1, 5, 10 or 20."
    engine.dispose()


def test_shells_of_the_version_before_can_open_new_files(world):
    tags = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal"
    (version,) = ask(world, tags).row(0)
    assert version.startswith("v1.")


def test_an_unchanged_warehouse_with_newer_views_is_copied_again(world):
    with writing(world) as connection:
        connection.execute("DROP VIEW mart.ladder")
        connection.execute("UPDATE mart.catalogue SET version = 'before'")
    before = world.published.read_bytes()
    replace_readers_copy(world)
    assert world.published.read_bytes() == newest(world).read_bytes() != before
    assert ask(world, "SELECT count(*) AS n FROM mart.ladder").item() > 0
    after = newest(world)
    assert not replace_readers_copy(world).changed
    assert newest(world) == after
