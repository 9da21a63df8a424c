"""Settings that have other names now: a catalogue of before compares them with those of today."""

import pytest

from fpt_model.config import RENAMED, resolve
from tasks.settings import preset_name
from warehouse.catalogue import reading, writing
from warehouse.renamed import preset_of_now
from warehouse.standing import standing

VALUES = {"moment": ["request", "last"], "rivals": ["unseen", "all"]}
CHANGED = [(old, value) for old in RENAMED for value in VALUES.get(old, ["0.25"])]


@pytest.mark.parametrize(("old", "value"), CHANGED)
def test_every_changed_setting_has_the_name_that_tables_give_it_now(old, value):
    for preset in ("paper", "best"):  # one of them has another default
        new, meanings = RENAMED[old]
        now = str(meanings.get(value, value)).lower()
        config = resolve("sas_fpt", preset, {new: now, "heads": 2})
        name = preset_name(config)
        if new in name:
            assert name in (f"{preset} {new}={now} heads=2", f"{preset} heads=2 {new}={now}")
            before = name.replace(f"{new}={now}", f"{old}={value}")
            assert preset_of_now(before) == preset_of_now(name) == name


def test_a_catalogue_of_before_is_read_by_the_names_of_now(home, publish):
    publish("old", [1.0, 2.0], preset="quick user_dropout=0.5")
    with writing(home) as connection:
        connection.execute("UPDATE mart.training_runs SET preset = 'quick user_dropout=0.5'")
        connection.execute("UPDATE mart.catalogue SET version = 'of before'")
        (found,) = connection.execute("SELECT dataset FROM raw.loads").fetchall()
    assert set(standing(home, *found).seconds) == {("sas_fpt", "quick sse_user=0.5")}
    with reading(home) as connection:
        rows = connection.execute("SELECT DISTINCT preset FROM mart.leaderboard").fetchall()
    assert rows == [("quick sse_user=0.5",)]
