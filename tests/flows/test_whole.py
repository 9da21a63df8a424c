"""Done means that what it left is there and whole, and what a message advises does work."""

import json
import re
import shlex
import shutil
import signal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from flows.doctor import examine
from flows.train import train
from tasks import progress
from tasks.training import missing
from tasks.trainings import Training, is_ranked
from warehouse.home import Home
from warehouse.preparing import known_snapshot

METRICS = "SELECT * EXCLUDE (run_id) FROM mart.metrics ORDER BY ALL"
COUNTS = "SELECT count(*), count(DISTINCT run_id) FROM mart.user_ranks"


class Notes:
    """What the terminal would be told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def report(self, *_: object) -> None:
        """Not looked at."""

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def notes(monkeypatch) -> list[str]:
    kept = Notes()
    monkeypatch.setattr(progress, "_reporter", kept)
    return kept.notes


def ask(home: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def run_of(home: Path, model: str) -> Path:
    query = f"SELECT run_id FROM mart.training_runs WHERE model = '{model}'"
    ((run_id,),) = ask(home, query)
    return home / "runs" / run_id


def snapshot_of(home: Path) -> str:
    (path,) = (home / "sequences").glob("*.parquet")
    return path.stem.removeprefix("sequences-")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.slow
def test_what_a_published_training_lost_is_made_again_and_published_again(prefect, copy, notes):
    """Weights by training, to the same metrics; the record of another from the warehouse."""
    trained, kept = run_of(copy, "sasrec"), run_of(copy, "sas_fpt")
    weights, record = (trained / "best.safetensors").read_bytes(), (kept / "run.json").read_bytes()
    epochs = (kept / "epochs.jsonl").read_bytes()
    metrics, counts = ask(copy, METRICS), ask(copy, COUNTS)
    (trained / "best.safetensors").unlink()
    (kept / "run.json").write_text('{"seed": 0, "conf')
    (kept / "epochs.jsonl").unlink()
    train(snapshot_of(copy), ("sasrec", "sas_fpt"), home=copy)
    assert any("best.safetensors is missing: it is made and published again" in n for n in notes)
    assert any("run.json is not what the training wrote" in note for note in notes)
    assert (trained / "best.safetensors").read_bytes() == weights
    assert (kept / "epochs.jsonl").read_bytes() == epochs
    again, before = json.loads((kept / "run.json").read_text()), json.loads(record)
    assert {name for name in before if again[name] != before[name]} <= {"record_sha256"}
    assert (ask(copy, METRICS), ask(copy, COUNTS)) == (metrics, counts)
    assert not list((copy / "staging").iterdir())
    notes.clear()
    train(snapshot_of(copy), ("sasrec", "sas_fpt"), home=copy)
    assert notes == ["2 trainings: unchanged, published before"]


def test_sequences_in_other_bytes_are_the_same_content(copy, notes):
    """As another version of the library would write them: trained folders stay valid."""
    from fpt_model.config import resolve
    from tasks.training import collect_run

    home = Home.at(copy)
    snapshot = known_snapshot(home, snapshot_of(copy))
    one = Training(snapshot, resolve("sasrec", "quick"), 0)
    table = pq.read_table(snapshot.sequences)
    stated = pq.read_metadata(snapshot.sequences).metadata[b"values_sha256"]
    pq.write_table(
        table.replace_schema_metadata({**table.schema.metadata, b"values_sha256": stated}),
        snapshot.sequences,
        compression="gzip",
    )
    assert is_ranked(home, one)
    assert collect_run.fn(home, one, None).run_id == one.run_id
    assert missing.fn(home, [one]) == []
    pq.write_table(table.slice(1), snapshot.sequences)
    with pytest.raises(Exception, match=r"holds another training .* another sequences_values"):
        collect_run.fn(home, one, None)


def test_doctor_says_what_is_lost_and_how_to_have_it_again_and_mends_what_it_can(copy):
    trained, kept = run_of(copy, "sasrec"), run_of(copy, "sas_fpt")
    flip(trained / "best.safetensors")
    (kept / "run.json").unlink()
    (copy / "staging" / "0123.duckdb").write_bytes(b"left over")
    bad = rows(examine(copy))
    assert bad[f"training {trained.name}"]["seen"] == "sasrec seed 0: best.safetensors is damaged"
    assert bad[f"training {trained.name}"]["to do"] == (
        f"fpt train {snapshot_of(copy)} --model sasrec --preset quick --seeds 1 --home {copy}"
    )
    assert bad[f"training {kept.name}"]["to do"] == bad["garbage"]["to do"] == "fpt doctor --mend"
    assert bad["garbage"]["seen"] == "staging/0123.duckdb"
    mended = rows(examine(copy, mend=True))
    assert mended["garbage"]["seen"] == "removed staging/0123.duckdb"
    assert "written again from the warehouse" in mended[f"training {kept.name}"]["seen"]
    after = rows(examine(copy))
    assert f"training {kept.name}" not in after
    assert "garbage" not in after
    shutil.rmtree(copy / "sequences")
    (copy / "sequences").mkdir()
    assert rows(examine(copy))["sequences"]["to do"].startswith("fpt prepare ")


def rows(findings: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {one["check"]: one for one in findings}


def lose_weights(home: Path) -> None:
    (run_of(home, "sas_fpt") / "best.safetensors").unlink()


def damage_both(home: Path) -> None:
    flip(next((home / "sequences").glob("*.parquet")))
    flip(run_of(home, "sas_fpt") / "best.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("spoil", [lose_weights, damage_both])
def test_the_command_that_a_refusal_names_does_work(spoil, copy, fpt, lasting):
    """Typed as it is printed, without the archive."""
    run = run_of(copy, "sas_fpt").name
    asked = ("recommend", "--user", 7, "--top", 3, "--run", run, "--json")
    before = fpt(*asked, home=copy)
    assert before.code == 0, before.err
    metrics = ask(copy, METRICS)
    spoil(copy)
    for command in (asked, ("explain", 7, "--run", run)):
        refused = fpt(*command, home=copy)
        assert refused.code == 2
    assert refused.err.count("error:") == 1
    (advice,) = re.findall("Run `(.*)`", " ".join(refused.err.split()))
    for command in advice.split(" && "):
        program, *words = shlex.split(command)
        assert program == "fpt"
        done = fpt(*words, home=copy, told=lasting)
        assert done.code == 0, done.err
    assert without_time(fpt(*asked, home=copy).rows) == without_time(before.rows)
    assert ask(copy, METRICS) == metrics


def without_time(found: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "created_at"} for row in found]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_next_run_clears_up_after_a_kill(tmp_path, archive, fpt, lasting):
    """Its staging folder and its sign of life."""
    words, home = ("ingest", "--dataset", "ml-1m", "--source", archive), tmp_path / "home"
    fault = {"FPT_FAULT": "a staging folder is made:kill"}
    assert fpt(*words, home=home, told=lasting | fault).code == -signal.SIGKILL
    assert [*home.glob("staging/load-*")]
    done = fpt(*words, home=home, told=lasting)
    assert done.code == 0, done.err
    assert "removed what dead runs left: staging/load-" in " ".join(done.err.split())
    assert not [*home.glob("staging/*"), *home.glob("locks/alone-*")]
