"""Commands that keep a home, typed: what they do is tested in `tests/warehouse`."""

import os
import signal

import pytest

from warehouse.database import locked
from warehouse.home import Home

QUESTION = "SELECT model, split, protocol, k, ndcg FROM mart.metrics ORDER BY ALL"
USERS = "SELECT count(DISTINCT raw_user_id) AS n FROM raw.ratings"


@pytest.mark.slow
def test_a_backup_is_brought_back_and_a_person_forgotten_in_it(copy, fpt, tmp_path):
    kept, other = tmp_path / "kept.tar", tmp_path / "other"
    assert fpt("backup", kept, home=copy).code == 0
    refused = fpt("restore", kept, home=copy)
    assert refused.code != 0
    assert "Something is published in this home" in refused.err
    assert fpt("restore", kept, "--json", home=other).rows[0]["publication"] > 0
    before, after = (fpt("sql", QUESTION, "--format", "json", home=one) for one in (copy, other))
    assert after.rows == before.rows != []
    (loads, snapshots, runs, again) = fpt(
        *("forget", "--dataset", "ml-1m", "--user", 7, "--json"), home=other
    ).rows
    assert [one["what"] for one in (loads, snapshots, runs)] == [
        "1 load",
        "1 snapshot",
        "2 trainings",
    ]
    assert again["command"].startswith(
        "fpt run --dataset ml-1m --source small.zip --retention cold-start"
    )
    assert fpt("sql", USERS, "--format", "json", home=other).rows == [{"n": 0}]
    assert fpt("sql", USERS, "--format", "json", home=copy).rows == [{"n": 60}]


def test_forgetting_does_not_begin_while_a_run_is_at_work(copy, fpt, forks):
    """It waits for ten seconds; here for a moment."""
    impatient = "from warehouse import forgetting; forgetting.SHORT_SECONDS = 0.2; "
    command = ["python", "-c", f"{impatient}from flows.entry import main; main()"]
    command += ["forget", "--dataset", "ml-1m", "--user", "7", "--home", str(copy)]
    with locked(Home.at(copy), "alone-somebody"):
        said = forks.run(command, os.environ, 60)
    assert said.code == 3
    assert "A run is at work in this home" in " ".join(said.err.split())
    assert fpt("sql", USERS, "--format", "json", home=copy).rows == [{"n": 60}]


def test_who_is_killed_while_restoring_is_cleared_up_after_when_it_is_typed_again(
    copy, fpt, tmp_path
):
    kept, other = tmp_path / "kept.tar", Home.at(tmp_path / "other")
    assert fpt("backup", kept, home=copy).code == 0
    place = "before the rename to *.parquet:kill"
    done = fpt("restore", kept, home=other.root, told={"FPT_FAULT": place})
    assert done.code == -signal.SIGKILL
    assert len(list(other.staging.iterdir())) == 1
    assert fpt("restore", kept, home=other.root).code == 0
    assert not [*other.staging.iterdir(), *other.locks.glob("staging-*")]
    assert fpt("sql", USERS, "--format", "json", home=other.root).rows == [{"n": 60}]
