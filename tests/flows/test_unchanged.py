"""A run with nothing to do answers without Prefect; one that would do something gets its flow."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from flows.set_server import may_be_set
from flows.unchanged import unchanged
from tasks import folders
from warehouse import locks
from warehouse.catalogue import reading
from warehouse.home import Home


@pytest.fixture
def nowhere(monkeypatch, tmp_path) -> Path:
    """Where Prefect is told of no server."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    monkeypatch.chdir(empty)
    return empty


def given(home: Path, archive: Path, **more: object) -> dict:
    plain = {"dataset": "ml-1m", "source": archive, "retention": "cold-start", "home": home}
    return plain | {"models": ("sas_fpt", "sasrec")} | more


def runs(home: Path) -> list[str]:
    with reading(Home.at(home)) as connection:
        query = "SELECT run_id FROM mart.training_runs ORDER BY model"
        return [row[0] for row in connection.execute(query).fetchall()]


def test_a_run_that_is_published_is_answered_with_its_ids(copy, archive, nowhere, capsys):
    found = unchanged(given(copy, archive))
    assert found is not None
    assert sorted(found.run_ids) == sorted(runs(copy))
    assert (len(found.snapshot_ids), found.changed) == (1, False)
    assert capsys.readouterr().err.count("nothing to do") == 1


def other_archive(home: Path, archive: Path, write_archive, lines) -> dict:
    other = write_archive(home.parent / "other.zip", lines[1:])
    return given(home, other)


ASKED = {
    "another seed": {"seeds": 2},
    "another model": {"models": ("tisasrec",)},
    "another setting": {"settings": {"dropout": 0.25}},
    "another retention": {"retention": "5-core"},
    "an earlier day": {"as_of": date(2000, 6, 20)},
    "a warning to accept": {"accept": ("too-good",)},
    "a pool": {"pool": "gpu"},
    "an archive that is not there": {"source": Path("nowhere.zip")},
    "a data set that nobody knows": {"dataset": "unheard-of", "source": None},
}


@pytest.mark.parametrize("more", ASKED.values(), ids=ASKED.keys())
def test_what_is_not_published_gets_its_flow(copy, archive, nowhere, more, capsys):
    assert unchanged(given(copy, archive, **more)) is None
    assert "nothing to do" not in capsys.readouterr().err


def test_another_archive_gets_its_flow(copy, nowhere, write_archive, lines, tmp_path):
    other = write_archive(tmp_path / "other.zip", lines[1:])
    assert unchanged(given(copy, other)) is None


def test_no_home_gets_its_flow(archive, nowhere, tmp_path):
    assert unchanged(given(tmp_path / "none", archive)) is None
    assert not (tmp_path / "none").exists()


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


DAMAGE = {
    "readers' copy gone": lambda home: (home / "published.duckdb").unlink(),
    "readers' copy changed": lambda home: spoil(home / "published.duckdb"),
    "its guard gone": lambda home: (home / "published.duckdb.wal").unlink(),
    "weights changed": lambda home: spoil(home / "runs" / runs(home)[0] / "best.safetensors"),
    "ranks gone": lambda home: (home / "runs" / runs(home)[0] / folders.RANKS).unlink(),
    "record changed": lambda home: spoil(home / "runs" / runs(home)[0] / "run.json"),
    "sequences changed": lambda home: spoil(next((home / "sequences").glob("*.parquet"))),
    "a table's file gone": lambda home: next((home / "store").rglob("*.parquet")).unlink(),
    "catalogue changed": lambda home: spoil(max((home / "catalogue").glob("*.duckdb"))),
    "left in staging": lambda home: (home / "staging" / "load-x").mkdir(),
    "somebody to be forgotten": lambda home: (home / "forgetting-1.json").write_text("{}"),
    "a dead run": lambda home: (home / "locks" / "alone-0.lock").touch(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_a_flow_would_mend_gets_its_flow(copy, archive, nowhere, damage):
    damage(copy)
    assert unchanged(given(copy, archive)) is None


def test_what_is_lost_of_another_training_gets_a_flow_which_withdraws_it(copy, archive, nowhere):
    asked = given(copy, archive, models=("sas_fpt",))
    own, other = unchanged(asked), unchanged(given(copy, archive, models=("sasrec",)))
    assert own is not None
    assert other is not None
    next((copy / "store").rglob(f"*{other.run_ids[0]}/*.parquet")).unlink()
    assert unchanged(asked) is None


def test_a_living_run_beside_it_is_no_reason(copy, archive, nowhere):
    home = Home.at(copy)
    from warehouse.database import locked

    with locked(home, "alone-1"):
        assert unchanged(given(copy, archive)) is not None
    locks.remove(home.locks / "alone-1.lock")


def test_a_home_that_moved_gets_its_flow(copy, archive, nowhere, tmp_path):
    shutil.move(copy, tmp_path / "moved")
    assert unchanged(given(tmp_path / "moved", archive)) is None


SETTINGS = {
    "prefect/profiles.toml": '[profiles.own]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n',
    "elsewhere/.env": "PREFECT_API_URL=http://127.0.0.1:4200/api\n",
    "elsewhere/.env ": "PREFECT_PROFILES_PATH=own.toml\n",
    "elsewhere/prefect.toml": '[api]\nurl = "http://127.0.0.1:4200/api"\n',
    "elsewhere/pyproject.toml": '[tool.prefect.api]\nurl = "http://127.0.0.1:4200/api"\n',
    "elsewhere/pyproject.toml ": '[tool]\nprefect.api.url = "http://127.0.0.1:4200/api"\n',
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_server_is_told_wherever_it_is_set(copy, archive, nowhere, tmp_path, name):
    path = tmp_path / name.strip()
    path.parent.mkdir(exist_ok=True)
    path.write_text(SETTINGS[name])
    assert may_be_set()
    assert unchanged(given(copy, archive)) is None


def test_a_pyproject_that_depends_on_prefect_sets_nothing(nowhere):
    text = '[project]\ndependencies = ["prefect>=3"]\n[tool.ruff]\nline-length = 100\n'
    (nowhere / "pyproject.toml").write_text(text)
    assert not may_be_set()


def test_a_server_of_the_environment_is_told(copy, archive, nowhere, monkeypatch):
    monkeypatch.setenv("prefect_api_url", "http://127.0.0.1:4200/api")
    assert unchanged(given(copy, archive)) is None
