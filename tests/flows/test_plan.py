"""What `fpt plan` says is to do is what the run then does, however the home stands."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from flows.ingest import ingest
from flows.parameters import Experiment
from flows.plan import plan
from flows.prepare import prepare
from flows.run import run
from tasks import progress
from warehouse.catalogue import reading, writing
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.resolve_id import newest

MODELS = ("sas_fpt", "sasrec")
PUBLISHED = {
    "land": "SELECT load_id, publication FROM raw.loads",
    "prepare": "SELECT snapshot_id, publication FROM core.snapshots",
    "train": "SELECT run_id, publication FROM mart.training_runs WHERE status = 'published'",
}


class Reports:
    """What the terminal would be told."""

    def __init__(self) -> None:
        self.steps: set[str] = set()
        self.notes: list[str] = []

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        self.steps.add(step)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def reports(monkeypatch) -> Reports:
    kept = Reports()
    monkeypatch.setattr(progress, "_reporter", kept)
    return kept


def asked(archive: Path, **more) -> dict:
    plain = {"dataset": "ml-1m", "source": archive, "retention": "cold-start", "models": MODELS}
    return plain | more


def planned(home: Path, words: dict) -> list[dict]:
    given = dict(words)
    return plan(Experiment(retentions=(given.pop("retention"),), home=home, **given))


def publications(home: Path) -> dict[str, dict[str, int]]:
    if not home.exists():
        return {step: {} for step in PUBLISHED}
    with reading(Home.at(home)) as connection:
        return {
            step: dict(connection.execute(question).fetchall())
            for step, question in PUBLISHED.items()
        }


def folder(home: Path, model: str) -> Path:
    with reading(Home.at(home)) as connection:
        query = "SELECT run_id FROM mart.training_runs WHERE model = ?"
        return home / "runs" / connection.execute(query, [model]).fetchone()[0]


def nothing(home: Path) -> None:
    pass


def all_of_it(home: Path) -> None:
    shutil.rmtree(home)


def a_publication(home: Path) -> None:
    """As a run leaves it that is interrupted between training and publishing."""
    with writing(Home(home)) as connection:
        connection.execute("DELETE FROM mart.training_runs WHERE model = 'sasrec'")


def weights(home: Path) -> None:
    (folder(home, "sas_fpt") / "best.safetensors").unlink()


def ranks(home: Path) -> None:
    (folder(home, "sas_fpt") / "ranks.parquet").unlink()


def a_record(home: Path) -> None:
    """It is written again from what was published: nothing is to do."""
    (folder(home, "sas_fpt") / "run.json").unlink()


def a_snapshot_s_file(home: Path) -> None:
    path = next(home.glob("store/core.interactions/*/*.parquet"))
    path.chmod(0o640)
    path.write_bytes(b"PAR1")


def a_load_s_file(home: Path) -> None:
    next(home.glob("store/raw.ratings/*/*.parquet")).unlink()


def sequences(home: Path) -> None:
    next(home.glob("sequences/*.parquet")).unlink()


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("lose", "more"),
    [
        (a_publication, {}),
        pytest.param(weights, {}, marks=SLOW),
        pytest.param(nothing, {}, marks=SLOW),
        pytest.param(ranks, {}, marks=SLOW),
        pytest.param(a_record, {}, marks=SLOW),
        pytest.param(a_snapshot_s_file, {}, marks=SLOW),
        pytest.param(a_load_s_file, {}, marks=SLOW),
        pytest.param(sequences, {}, marks=SLOW),
        pytest.param(all_of_it, {"models": ("sasrec",)}, marks=SLOW),
    ],
)
def test_the_run_does_what_was_planned_and_nothing_else(
    prefect, copy, archive, reports, lose: Callable[[Path], None], more
):
    words = asked(archive, **more)
    lose(copy)
    rows = planned(copy, words)
    *steps, total = rows
    before = publications(copy)
    run(**words, home=copy)
    after = publications(copy)
    done = {
        identity
        for step in PUBLISHED
        for identity in after[step]
        if after[step][identity] != before[step].get(identity)
    }
    assert done == {row["id"] for row in steps if row["state"] != "done"}
    works = {row["step"] for row in steps if row["state"] in ("to do", "to go on")}
    assert ("land ml-1m" in reports.steps) == ("land" in works)
    assert any(step.startswith("train ") for step in reports.steps) == ("train" in works)
    assert total["state"] == ("to do" if done else "done")
    again = planned(copy, words)
    assert {row["state"] for row in again} == {"done"}
    assert again[-1]["what"] == "nothing to do"


def test_each_training_has_its_state_and_the_total_says_what_is_known(copy, archive):
    a_publication(copy)
    weights(copy)
    words = asked(archive, models=("sasrec", "sas_fpt", "tisasrec"))
    states = {row["what"]: row["state"] for row in planned(copy, words)}
    assert states["sasrec seed 0"] == "to publish"
    assert states["sas_fpt seed 0"] == states["tisasrec seed 0"] == "to do"
    begun = next(row["id"] for row in planned(copy, words) if row["what"] == "tisasrec seed 0")
    (copy / "runs" / begun).mkdir()
    (copy / "runs" / begun / "checkpoint-000000001.safetensors").touch()
    rows = {row["what"]: row for row in planned(copy, words)}
    assert rows["tisasrec seed 0"]["state"] == "to go on"
    assert rows["tisasrec seed 0"]["seconds"] is None
    *_, total = rows.values()
    expected = "3 trainings of 3; unknown how long: no past run tells of 1 of them"
    assert (total["what"], total["seconds"]) == (expected, None)
    with reading(Home.at(copy)) as connection:
        query = "SELECT round(avg(train_seconds), 1) FROM mart.training_runs WHERE model = ?"
        (seconds,) = connection.execute(query, ["sas_fpt"]).fetchone()
    (*_, total) = planned(copy, asked(archive))
    assert total["what"] == "2 trainings of 2; what is not training comes on top"
    assert total["seconds"] == seconds  # the other is only to be published


def test_what_a_run_would_refuse_is_refused(tmp_path, write_archive, lines):
    home = tmp_path / "home"
    (tmp_path / "no.zip").write_text("no archive")
    write_archive(tmp_path / "other.zip", lines, name="ml-10m")
    for source, said in (
        (tmp_path / "missing.zip", "can't be read"),
        (tmp_path, "is not a file"),
        (tmp_path / "no.zip", "is not a whole zip archive"),
        (tmp_path / "other.zip", "is not an archive of ml-1m"),
    ):
        with pytest.raises(RefusedError, match=said):
            planned(home, asked(source))
    assert not home.exists()


def test_before_it_is_fetched_nothing_is_known_of_an_archive(tmp_path, copy, archive):
    words = asked(None, models=("sasrec",))
    rows = planned(tmp_path / "nowhere", words)
    assert [(row["step"], row["state"]) for row in rows] == [
        ("fetch", "to do"),
        ("land", "to do"),
        ("prepare", "to do"),
        ("train", "to do"),
        ("total", "to do"),
    ]
    rows = planned(copy, words)  # it may be what was landed before
    assert [row["state"] for row in rows] == ["to do", *["unknown"] * 3, "to do"]


@pytest.mark.slow
def test_a_changed_setting_is_a_row_of_its_own_everywhere(prefect, copy, archive):
    words = asked(archive, models=("sasrec",), settings={"epochs": 2, "item_width": "32"})
    outcome = run(**words, home=copy)
    with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "SELECT preset, n_seeds FROM mart.leaderboard WHERE model = 'sasrec' AND k = 10 "
            "AND split = 'test' AND protocol = 'full' ORDER BY preset"
        ).fetchall()
        assert rows == [("quick", 1), ("quick item_width=32 epochs=2", 1)]
        found = connection.execute(
            "SELECT config->>'item_width', config->>'epochs', config->>'preset' "
            "FROM mart.training_runs WHERE run_id = ?",
            [outcome.run_ids[0]],
        ).fetchall()
        assert found == [("32", "2", "quick")]
        pairs = "SELECT count(DISTINCT preset) FROM mart.significance"
        assert connection.execute(pairs).fetchone() == (1,)  # nothing is compared across them
    from tasks.artifacts import leaderboard

    shown = leaderboard(Home.at(copy), outcome.snapshot_ids, ["quick", rows[1][0]])
    assert [(row["model"], row["settings"], row["seeds"]) for row in shown] == [
        ("popularity", None, None),
        ("SASRec", None, 1),
        ("SASRec", "item_width=32 epochs=2", 1),
        ("SAS-FPT", None, 1),
    ]


def test_without_an_id_the_newest_is_taken_and_said(
    prefect, copy, reports, tmp_path, lines, write_archive
):
    source = write_archive(tmp_path / "later.zip", lines[:-1])
    later = ingest("ml-1m", source, home=copy)
    assert newest(Home.at(copy), "load") == (later, "ml-1m from later.zip")
    made = prepare(retention="cold-start", home=copy)
    assert f"the newest load: ml-1m from later.zip, {later}" in reports.notes
    assert newest(Home.at(copy), "snapshot") == (made, "ml-1m cold-start")
    with reading(Home.at(copy)) as connection:
        query = "SELECT load_id FROM core.snapshots WHERE snapshot_id = ?"
        assert connection.execute(query, [made]).fetchone() == (later,)


def test_without_anything_the_first_command_is_named(empty):
    for kind, command in (("load", "fpt ingest"), ("snapshot", "fpt prepare")):
        with pytest.raises(RefusedError, match=f"There is no {kind} yet.*Run `{command}` first"):
            newest(Home.at(empty), kind)


@pytest.mark.slow
def test_a_run_waits_for_another_at_a_terminal_and_goes_on(typed, archive, lasting, tmp_path):
    """The first is stopped in the middle of a step, so that the second must wait."""
    words = ("ingest", "--dataset", "ml-1m", "--source", archive, "--home", tmp_path / "h")
    first = typed(*words, **lasting)
    first.wait_for("land ml-1m")
    first.process.send_signal(signal.SIGSTOP)
    second = typed(*words, loaded=True, **lasting)
    second.wait_for(rf"waiting for load-\w+: in use by process {first.process.pid}, `fpt ingest")
    third = typed(*words, "--no-wait", loaded=True, **lasting)
    third.end()
    assert third.process.returncode == 3, third.seen
    assert "is in use by process" in third.seen
    first.process.send_signal(signal.SIGCONT)
    first.end()
    second.end()
    assert (first.process.returncode, second.process.returncode) == (0, 0), second.seen
    assert "unchanged, landed before" in second.seen
