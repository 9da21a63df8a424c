"""Figures are computed before the warehouse is locked, and are those of what is published then."""

from contextlib import contextmanager

import pytest

from warehouse import figures, publishing
from warehouse.catalogue import reading, writing
from warehouse.database import is_held
from warehouse.questions import ask
from warehouse.rehearsal import figures_of
from warehouse.run_figures import OF_RUNS, bring_up_to_date
from warehouse.withdrawing import withdraw

RANKS = ([1.0, 2.0, 30.0, 4.0], [5.0, 1.0, 2.0, 40.0], [3.0, 3.0, 3.0, 3.0])


def kept(home) -> list[list[tuple]]:
    with reading(home) as connection:
        return [
            connection.execute(f"FROM mart.run_{name} ORDER BY ALL").fetchall() for name in OF_RUNS
        ]


def computed_anew(home) -> list[list[tuple]]:
    with writing(home) as connection:
        for name in OF_RUNS:
            connection.execute(f"DELETE FROM mart.run_{name}")
        bring_up_to_date(connection)
    return kept(home)


def test_nobody_waits_while_figures_are_computed(home, publish, monkeypatch):
    publish("first", RANKS[0])
    held = []

    def watched(real):
        def compute(*words):
            held.append(is_held(home, "warehouse"))
            return real(*words)

        return compute

    for name in ("metrics", "slices", "pairs"):
        monkeypatch.setattr(figures, name, watched(getattr(figures, name)))
    publish("second", RANKS[1], model="tisasrec")
    assert held
    assert not any(held)
    assert kept(home) == computed_anew(home)


@pytest.fixture
def meanwhile(home):
    """Do something between the computing and the publication of a training."""
    with pytest.MonkeyPatch.context() as patch:

        def do(what) -> None:
            @contextmanager
            def later(*words):
                patch.undo()
                what()
                with writing(*words) as connection:
                    yield connection

            patch.setattr(publishing, "writing", later)

        yield do


def test_a_folder_that_is_gone_is_said(home, publish, tmp_path):
    publish("first", RANKS[0])
    with pytest.raises(FileNotFoundError):
        figures_of(home, tmp_path / "gone", [], lambda _: None, [])


def test_a_training_that_comes_meanwhile_is_compared_with(home, publish, meanwhile):
    publish("first", RANKS[0])
    meanwhile(lambda: publish("third", RANKS[2], model="sasrec"))
    publish("second", RANKS[1], model="tisasrec")
    pairs = "SELECT count(*) FROM mart.run_pairs WHERE run_id = 'second' AND other_id = 'third'"
    assert ask(home, pairs).item() > 0
    assert kept(home) == computed_anew(home)


def test_a_training_with_other_ranks_meanwhile_is_compared_by_these(home, publish, meanwhile):
    publish("first", RANKS[0])
    meanwhile(lambda: publish("first", RANKS[2]))
    publish("second", RANKS[1], model="tisasrec")
    assert kept(home) == computed_anew(home)


def test_a_training_that_goes_meanwhile_is_compared_with_no_more(home, publish, meanwhile):
    publish("first", RANKS[0])

    def go() -> None:
        with writing(home) as connection:
            withdraw(connection, home, ["first"], "pruned")

    meanwhile(go)
    publish("second", RANKS[1], model="tisasrec")
    assert ask(home, "SELECT count(*) FROM mart.run_pairs WHERE run_id = 'first'").item() == 0
    assert kept(home) == computed_anew(home)
