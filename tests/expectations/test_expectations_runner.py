import importlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import duckdb
import pytest

from expectations import suites
from expectations.outcome import Outcome, stops
from expectations.runner import audit

HOSTILE = (
    "<script>alert('x')</script> \"; DROP TABLE raw.items; -- \x1b[31m {batch} :id $HOME 😀 %s\t"
)


def outcome(severity: str, success: bool) -> Outcome:
    return Outcome("t", "words", severity, success, None, None, "reason")


@pytest.mark.parametrize(
    ("severity", "success", "stopped"),
    [
        ("critical", False, True),
        ("critical", True, False),
        ("warning", False, False),
        ("info", False, False),
    ],
)
def test_only_a_failed_critical_stops(severity, success, stopped):
    assert stops([outcome("info", True), outcome(severity, success)]) is stopped


def test_nothing_audited_does_not_stop():
    assert not stops([])


def test_a_warning_is_reported_with_its_rows(changed, facts):
    database = changed("UPDATE raw.users SET gender = 'X' WHERE raw_user_id <= 70")
    (failure,) = [o for o in audit(database, ["raw_users"], facts) if not o.success]
    assert failure == Outcome(
        table_name="raw.users",
        expectation="gender in F, M",
        severity="warning",
        success=False,
        observed="7 rows",
        unexpected_count=7,
        reason="What the archives write; else the columns are shifted.",
        sample=[{"raw_user_id": n, "gender": "X"} for n in (10, 20, 30, 40, 50)],
    )


def test_all_offending_rows_are_counted_and_five_shown(changed, facts):
    database = changed("UPDATE raw.ratings SET rating = 4.25 WHERE source_row <= 300")
    (failure,) = [o for o in audit(database, ["raw_ratings"], facts) if not o.success]
    assert failure.unexpected_count == 300
    assert [row["source_row"] for row in failure.sample] == [1, 2, 3, 4, 5]


def test_rejected_lines_are_shown(changed, facts):
    database = changed(
        "INSERT INTO raw.rejects VALUES ('load', 'ratings.dat', 7, ?, 'not a number')", [HOSTILE]
    )
    (failure,) = [o for o in audit(database, ["raw_rejects"], facts) if not o.success]
    assert failure.sample == [
        {"member": "ratings.dat", "source_row": 7, "line": HOSTILE, "reason": "not a number"}
    ]


def test_hostile_titles_survive_in_the_sample(changed, facts):
    database = changed("UPDATE raw.items SET title = ? WHERE raw_item_id = 3", [HOSTILE])
    (failure,) = [o for o in audit(database, ["raw_items"], facts) if not o.success]
    assert failure.expectation == "title ends with a year"
    assert json.loads(json.dumps(asdict(failure)))["sample"] == [
        {"raw_item_id": 3, "title": HOSTILE}
    ]


def test_hostile_ids_are_values_not_sql(good, facts):
    outcomes = audit(good, ["raw_items"], replace(facts, load_id="'; DROP TABLE x; -- {batch} :a"))
    (failure,) = [o for o in outcomes if not o.success]
    assert failure.unexpected_count == 40


def test_samples_are_json_without_nan(changed, facts):
    database = changed("UPDATE mart.user_ranks SET rank = 'nan' WHERE user_id = 1")
    outcomes = audit(database, ["user_ranks"], facts)
    text = json.dumps([asdict(o) for o in outcomes], allow_nan=False)
    assert '"rank": "nan"' in text


def test_a_missing_table_is_a_critical_outcome_and_the_others_are_judged(changed, facts):
    outcomes = audit(changed("DROP TABLE raw.items"), ["raw_items", "raw_users"], facts)
    missing, *others = outcomes
    assert (missing.table_name, missing.severity, missing.success) == (
        "raw.items",
        "critical",
        False,
    )
    assert "items does not exist" in missing.observed
    assert stops(outcomes)
    assert all(o.success and o.table_name == "raw.users" for o in others)


def test_a_check_that_raises_is_critical_whatever_its_severity(changed, facts):
    outcomes = audit(changed("DROP TABLE raw.users"), ["raw_ratings"], facts)
    (failure,) = [o for o in outcomes if not o.success]
    assert failure.expectation == "raw_user_id in raw.users"
    assert failure.severity == "critical"
    assert "users does not exist" in failure.observed
    assert "SELECT" not in failure.observed.split("LINE")[0]


def test_a_missing_column_loses_no_outcome(changed, facts, good):
    database = changed("ALTER TABLE raw.ratings DROP COLUMN rating")
    outcomes = audit(database, ["raw_ratings"], facts)
    assert [o.expectation for o in outcomes] == [
        o.expectation for o in audit(good, ["raw_ratings"], facts)
    ]
    failures = {o.expectation for o in outcomes if not o.success}
    assert failures == {
        "columns are load_id, source_row, raw_user_id, raw_item_id, rating, timestamp",
        "rating not null",
        "rating between 0.5 and 5.0",
        "rating a multiple of 0.5",
    }


def test_a_result_that_does_not_come_back_is_a_failure(good, facts, monkeypatch):
    monkeypatch.setattr("expectations.runner._results", lambda source, suite: {})
    outcomes = audit(good, ["raw_users"], facts)
    assert {(o.severity, o.success, o.observed) for o in outcomes} == {
        ("critical", False, "no result came back")
    }


@pytest.mark.parametrize("content", [None, b"not a database" * 1000])
def test_a_file_that_does_not_open_is_critical(content, tmp_path, facts):
    path = tmp_path / "x.duckdb"
    if content is not None:
        path.write_bytes(content)
    outcomes = audit(path, ["raw_users", "raw_items"], facts)
    assert [(o.table_name, o.success) for o in outcomes] == [
        ("raw.users", False),
        ("raw.items", False),
    ]
    assert stops(outcomes)


@pytest.mark.parametrize("suite", [name for name in suites.ALL if name != "raw_rejects"])
def test_an_empty_table_fails(suite, changed, facts):
    table = importlib.import_module(f"expectations.suites.{suite}").TABLE
    database = changed(f"DELETE FROM {table}")
    counts = [o for o in audit(database, [suite], facts) if o.expectation.startswith("row count")]
    assert [(o.success, o.observed) for o in counts] == [(False, "0")]


@pytest.mark.parametrize("sql", ["SELECT 1", "DROP TABLE raw.items", "DROP TABLE raw.users"])
def test_the_file_can_be_written_afterwards(sql, changed, facts):
    database = changed(sql)
    audit(database, suites.RAW, facts)
    writer = (
        "import duckdb, sys\n"
        "with duckdb.connect(sys.argv[1]) as c: c.execute('CREATE TABLE written (x INTEGER)')"
    )
    subprocess.run([sys.executable, "-c", writer, str(database)], check=True, timeout=60)


def test_an_audit_writes_nothing(changed, facts):
    database = changed("SELECT 1")
    before = database.read_bytes()
    audit(database, suites.ALL, facts)
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == [database.name]


def test_a_path_is_taken_literally(changed, facts, tmp_path):
    folder = tmp_path / "a b ?read_only=false & $HOME %41 #"
    folder.mkdir()
    database = changed("SELECT 1").rename(folder / "x.duckdb")
    assert not stops(audit(database, ["raw_users"], facts))


def test_sequences_are_judged_through_a_view_over_parquet(changed, facts, tmp_path):
    file = tmp_path / "sequences-it's.parquet"
    quoted = str(file).replace("'", "''")
    database = changed(
        f"COPY (FROM core.sequences ORDER BY user_id) TO '{quoted}' (FORMAT parquet);"
        "DROP TABLE core.sequences;"
        f"CREATE VIEW core.sequences AS FROM read_parquet('{quoted}')"
    )
    assert [o for o in audit(database, ["sequences"], facts) if not o.success] == []


def test_an_audit_is_silent(good):
    """Results are returned; the log and the terminal belong to the caller."""
    script = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG)\n"
        "import expectations.runner, expectations.suites\n"
        "from pathlib import Path\nfrom expectations.facts import Facts\n"
        "logging.getLogger('py.warnings'); logging.captureWarnings(True)\n"
        "print('BEGIN', flush=True); print('BEGIN', file=sys.stderr, flush=True)\n"
        "expectations.runner.audit(Path(sys.argv[1]), expectations.suites.ALL, Facts())\n"
        "expectations.runner.audit(Path('/no/such'), ['raw_users'], Facts())\n"
        "print('END', file=sys.stderr, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(good)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "BEGIN\n"
    assert "BEGIN\nEND\n" in done.stderr


def test_values_and_names_import_nothing_heavy():
    script = (
        "import sys, expectations.facts, expectations.outcome, expectations.suites\n"
        "assert not {'great_expectations', 'duckdb', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=60, cwd=Path(__file__).parents[2]
    )


def test_rows_outlive_their_connection(good):
    import sqlalchemy

    from expectations.dialect import ADDRESS

    arguments = {"database": str(good), "read_only": True}
    engine = sqlalchemy.create_engine(ADDRESS, connect_args=arguments)
    with engine.connect() as connection:
        result = connection.execute(sqlalchemy.text("SELECT * FROM range(5) AS t (n)"))
        other = connection.execute(sqlalchemy.text("SELECT 'x' AS word"))
    assert result.fetchone() == (0,)
    assert result.fetchmany(2) == [(1,), (2,)]
    assert result.fetchall() == [(3,), (4,)]
    assert other.mappings().all() == [{"word": "x"}]
    engine.dispose()
    with duckdb.connect(str(good)):
        pass
