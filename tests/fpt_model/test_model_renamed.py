"""Names of earlier versions, of settings and engines: read everywhere, and answered by the new."""

import json

import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.config import RENAMED, RENAMED_ENGINES, Config, engine_name, from_dict, resolve
from fpt_model.engines.choose import engine_of
from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import State, read, write
from fpt_model.files.finished import read_record, written_record

OLD = {"moment": "request", "average": 0.5, "user_dropout": 0.5, "item_dropout": 0.25}
NEW = {"time_reference": "query", "ema_decay": 0.5, "sse_user": 0.5, "sse_item": 0.25}
SMALL = {"item_width": 8, "user_width": 8, "week_width": 4, "max_length": 8, "epochs": 1}
SMALL |= {"validate_every": 1}


def older(settings: dict) -> dict:
    """As version 0.1.0 named them."""
    names = {new: old for old, (new, _) in RENAMED.items()}
    values = {(new, one): name for new, of in RENAMED.values() for name, one in of.items()}
    return {
        names.get(name, name): values.get((name, value), value) for name, value in settings.items()
    }


@pytest.mark.parametrize(("rivals", "exclude_seen"), [("all", False), ("unseen", True)])
def test_settings_by_their_old_names_are_the_same(rivals, exclude_seen, capsys):
    old = resolve("sas_fpt", "paper", OLD | {"rivals": rivals})
    assert old == resolve("sas_fpt", "paper", NEW | {"exclude_seen": exclude_seen})
    texts = {name: str(value) for name, value in OLD.items()}  # as `--set` has them
    assert resolve("sas_fpt", "paper", texts | {"rivals": rivals}) == old
    record = older(old.to_dict())
    assert set(OLD) | {"rivals"} <= set(record)
    assert not set(NEW) & set(record)
    assert from_dict(record) == old == from_dict(old.to_dict())
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(set(said))


def test_a_note_says_the_new_name_once_and_of_records_nothing(capsys):
    for _ in range(2):
        resolve("sasrec", "paper", {"average": 0.125, "moment": "last", "rivals": "unseen"})
    assert [line for line in capsys.readouterr().err.splitlines() if "0.125" in line] == [
        "note: average=0.125 is ema_decay=0.125 now"
    ]
    from_dict(older(resolve("sasrec", "best", {"ema_decay": 0.375}).to_dict()))
    resolve("sasrec", "paper", {"ema_decay": 0.625})
    assert capsys.readouterr().err == ""


def test_a_setting_that_stands_there_twice_is_refused():
    for twice in ({"average": 0.1, "ema_decay": 0.1}, {"ema_decay": 0.1, "average": 0.1}):
        with pytest.raises(ModelError, match="ema_decay is given twice: got average and ema_decay"):
            resolve("sasrec", "paper", twice)
    with pytest.raises(ModelError, match="exclude_seen is no bool: got 'some'"):
        resolve("sasrec", "paper", {"rivals": "some"})
    with pytest.raises(ModelError, match="time_reference"):
        resolve("sasrec", "paper", {"time_reference": "request"})


@pytest.mark.parametrize(("old", "new"), RENAMED_ENGINES.items())
def test_engines_by_their_old_names_are_the_same(old, new):
    assert engine_name(old) == engine_name(new) == new
    config, cpu = Config("sasrec", "paper"), torch.device("cpu")
    if new in ("cpu", "reference"):
        assert engine_of(old, config, cpu) == new
    else:
        with pytest.raises(ModelError, match=f"The {new} engine can't"):
            engine_of(old, config, cpu)


def test_a_training_of_version_0_1_0_is_asked_and_ranked(learnable, run_command, tmp_path):
    """Ordered by the old names, then as that version left it: in its record and its weights."""
    words = ["--sequences", learnable, "--device", "cpu"]
    common = SMALL | {"loss": "softmax"}
    run, again = tmp_path / "run", tmp_path / "again"
    for folder, engine, settings in (
        (run, "plain", common | OLD | {"rivals": "unseen"}),
        (again, "reference", common | NEW | {"exclude_seen": "true"}),
    ):
        given = [f"--set={name}={value}" for name, value in settings.items()]
        ended = run_command("train", *words, "--output", folder, "--engine", engine, *given)
        assert ended.code == 0, ended.stderr
    first, second = (read(one / "best.safetensors") for one in (run, again))
    assert all(torch.equal(value, second.tensors[name]) for name, value in first.tensors.items())

    order = first.facts["order"]
    order["config"] = older(order["config"])
    assert order["config"]["rivals"] == "unseen"
    sha256 = write(run / "best.safetensors", State(first.tensors, first.facts))
    record = {**read_record(run), **order, "checkpoint_sha256": sha256}
    epochs = (run / "epochs.jsonl").read_bytes()
    (run / "run.json").write_bytes(written_record(record, epochs))

    asked = tmp_path / "asked.json"
    one = {"item_ids": [1, 2], "timestamps": [1, 2], "weeks": [1, 1], "time_scale": 1}
    asked.write_text(json.dumps([one]))
    for folder in (run, again):
        assert run_command("evaluate", *words, "--run", folder).code == 0
        for command in ("recommend", "explain"):
            output = folder / f"{command}.parquet"
            given = ["--run", folder, "--asked", asked, "--output", output]
            assert run_command(command, *words, *given).code == 0
    for name in ("ranks", "lists", "recommend", "explain"):
        assert pq.read_table(run / f"{name}.parquet").equals(
            pq.read_table(again / f"{name}.parquet")
        ), name


def test_a_jobs_file_may_have_the_old_names(learnable, run_command, tmp_path):
    config = {"model": "sas_fpt", "preset": "quick", **OLD, **SMALL}
    job = {"sequences": str(learnable), "output": "run", "config": config, "seed": 0}
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": [job], "rank": False}))
    ended = run_command("train-all", "--jobs", tmp_path / "jobs.json", "--engine", "threaded")
    assert ended.code == 0, ended.stderr
    assert ended.of("start")[0]["engine"] == "cpu"
    assert read_record(tmp_path / "run")["config"].items() >= NEW.items()
