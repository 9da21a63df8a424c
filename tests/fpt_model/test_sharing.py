"""How trainings are spread over places: in which order, what is split, and what it is judged by."""

import heapq
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fpt_model.config import resolve
from fpt_model.errors import ModelError
from fpt_model.files.finished import RECORD, written_record
from fpt_model.simple.settings import resolve_simple
from fpt_model.training.expected import USUAL_END, expected
from fpt_model.training.jobs import Job
from fpt_model.training.places import Place, places_of
from fpt_model.training.sharing import Work, in_line

GPU = torch.device("cuda")
CONFIG = resolve("sasrec", "paper")


def job(name: str, config=CONFIG, seed: int = 0, sequences: Path = Path("s.parquet")) -> Job:
    return Job(name, sequences, Path("runs", name), config, seed)


def shared(costs: dict[str, float], places: int, together: int = 1) -> list[Work]:
    jobs = [job(name) for name in costs]
    groups = [jobs[at : at + together] for at in range(0, len(jobs), together)]
    return in_line(groups, lambda one: costs[one.name], places)


def said(works: list[Work]) -> list[tuple[str, float]]:
    return [("".join(one.name for one in work.jobs), round(work.until, 3)) for work in works]


def ends(works: list[Work], costs: dict[str, float], places: int) -> float:
    """When the last place ends. What is put aside waits at the end of the line."""
    free = [(0.0, number) for number in range(places)]
    line, aside, last = list(works), [], 0.0
    while line or aside:
        now, place = heapq.heappop(free)
        if not line:
            aside.sort(key=lambda one: one[0])
            ready, seconds = aside.pop(0)
            now = max(now, ready) + seconds
        else:
            work = line.pop(0)
            whole = sum(costs[one.name] for one in work.jobs)
            now += whole * work.until
            if work.until < 1:
                aside.append((now, whole * (1 - work.until)))
        last = max(last, now)
        heapq.heappush(free, (now, place))
    return last


def test_the_longest_go_first_and_equal_ones_in_their_order():
    costs = {"a": 1.0, "b": 3.0, "c": 1.0, "d": 3.0}
    assert said(shared(costs, 2)) == [("b", 1), ("d", 1), ("a", 1), ("c", 1)]


def test_five_equal_ones_on_two_places_take_two_and_a_half():
    costs = dict.fromkeys("abcde", 1.0)
    works = shared(costs, 2)
    assert said(works) == [("c", 0.5), ("a", 1), ("b", 1), ("d", 1), ("e", 1)]
    assert ends(works, costs, 2) == pytest.approx(2.5)


def test_on_three_places_two_of_five_are_put_aside():
    costs = dict.fromkeys("abcde", 1.0)
    works = shared(costs, 3)
    assert said(works)[:2] == [("d", 0.667), ("b", 0.333)]
    assert ends(works, costs, 3) == pytest.approx(5 / 3)


def test_seeds_of_one_group_go_apart_where_places_would_wait_for_it():
    costs = dict.fromkeys("abcdefgh", 1.0)
    assert said(shared(costs, 2, together=8)) == [("abcd", 1), ("efgh", 1)]
    assert said(shared(costs, 1, together=8)) == [("abcdefgh", 1)]


def test_what_can_not_stop_is_not_put_aside():
    config = resolve_simple("ease", "quick", {})
    groups = [[job(name, config)] for name in "abcde"]
    assert all(work.until == 1 for work in in_line(groups, lambda _: 1.0, 2))


@given(
    costs=st.lists(st.floats(0.0, 50.0), min_size=1, max_size=24),
    places=st.integers(1, 8),
    together=st.integers(1, 8),
)
def test_nobody_waits_long_and_everybody_is_trained_once(costs, places, together):
    named = {str(number): cost for number, cost in enumerate(costs)}
    works = shared(named, places, together)
    assert sorted(one.name for work in works for one in work.jobs) == sorted(named)
    assert sum(work.until < 1 for work in works) < places
    least = max([sum(costs) / places, *(cost for cost in costs)])
    # what is put aside may be none too early; a rest that is not worth it is done by its place
    assert ends(works, named, places) <= (2 if together > 1 else 1.5) * least + 1e-9


def record(folder: Path, name: str, **facts) -> None:
    """A finished training."""
    (folder / name).mkdir(parents=True)
    whole = {
        "config": CONFIG.to_dict(),
        "seed": 0,
        "snapshot_id": "abc",
        "code_version": "of before",
        "device": "NVIDIA H200",
        "versions": {},
        "train_seconds": 10.0,
        "started_at": "",
        "finished_at": "",
        "best_epoch": 100,
        "valid_ndcg_10": 0.5,
        "checkpoint_sha256": "",
        "interactions": 187,
    }
    (folder / name / RECORD).write_bytes(written_record(whole | facts, b""))


@pytest.fixture
def known(learnable, tmp_path):
    """What trainings with these settings are expected to take, after those of before."""

    def ask(*configs) -> list:
        jobs = [
            Job(str(number), learnable, tmp_path / "runs" / str(number), config, 0)
            for number, config in enumerate(configs)
        ]
        return list(expected(jobs, "NVIDIA H200").values())

    return ask


@pytest.fixture
def interactions(learnable) -> int:
    from fpt_model.data.sequences import load

    return len(load(learnable).items)


def test_those_of_before_say_how_long_and_for_how_many_epochs(known, interactions, tmp_path):
    assert (CONFIG.epochs, CONFIG.patience * CONFIG.validate_every) == (200, 50)
    record(tmp_path / "runs", "a", interactions=interactions)
    record(tmp_path / "runs", "b", interactions=interactions, train_seconds=2.0, best_epoch=180)
    (one,) = known(CONFIG)
    assert one.cost == pytest.approx((10 + 2) / 2)
    assert one.end == pytest.approx((150 / 200 + 1.0) / 2)


def test_a_training_costs_what_comes_before_it_too(known):
    """Four teachers, and the search of one that is trained anew."""
    taught = replace(CONFIG, teachers=4, teacher_share=0.5, refit=True)
    once, six_times = known(CONFIG, taught)
    assert six_times.cost - 1 == pytest.approx(6 * (once.cost - 1))


def test_a_second_training_ends_with_its_last_epoch(known, interactions, tmp_path):
    refitted = replace(CONFIG, refit=True)
    record(tmp_path / "runs", "a", interactions=interactions, config=refitted.to_dict())
    assert known(refitted)[0].end == 1.0


@pytest.mark.parametrize(
    "facts",
    [
        {"device": "cpu"},
        {"config": CONFIG.to_dict() | {"epochs": 7}},
        {"interactions": 10**6},
    ],
)
def test_other_trainings_say_nothing(facts, known, interactions, tmp_path):
    record(tmp_path / "runs", "a", **{"interactions": interactions, "train_seconds": 1e9} | facts)
    (one,) = known(CONFIG)
    assert one.cost != 1e9
    assert one.end == USUAL_END


def test_a_damaged_record_says_nothing(known, tmp_path):
    record(tmp_path / "runs", "a")
    (tmp_path / "runs" / "a" / RECORD).write_text("{")
    assert known(CONFIG)[0].end == USUAL_END


def test_without_records_size_decides_in_the_unit_of_those_that_are_known(
    known, interactions, tmp_path
):
    twice = resolve("sasrec", "paper", {"epochs": 400})
    sas_fpt = resolve("sas_fpt", "paper")
    unknown = known(CONFIG, twice, sas_fpt, resolve_simple("ease", "quick", {}))
    assert unknown[1].cost == pytest.approx(2 * unknown[0].cost)
    assert unknown[2].cost > 3 * unknown[0].cost > unknown[3].cost
    record(tmp_path / "runs", "a", interactions=interactions)
    assert known(CONFIG, twice)[1].cost == pytest.approx(2 * 10.0)


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_every_gpu_is_taken_or_as_many_as_were_asked_for(four_gpus):
    assert len(places_of(GPU, None)) == 4
    assert places_of(GPU, 2) == [Place("GPU 0", "cuda", "0"), Place("GPU 1", "cuda", "1")]


def test_gpus_are_called_what_the_environment_calls_them(four_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5,GPU-8f6a,1")
    assert [place.visible for place in places_of(GPU, None)] == ["3", "5", "GPU-8f6a", "1"]


@pytest.mark.parametrize(("device", "got"), [("cuda", "got 4,"), ("cpu", "got 0 on device cpu,")])
def test_fewer_gpus_than_asked_for_are_refused(device, got, four_gpus):
    with pytest.raises(ModelError) as error:
        places_of(torch.device(device), 5)
    assert str(error.value) == (
        f"Fewer GPUs than asked for: {got} expected 5, for --gpus 5. "
        "Leave --gpus out to take all there are."
    )


def test_a_cpu_is_one_place():
    assert len(places_of(torch.device("cpu"), None)) == 1


def test_the_record_says_how_much_was_trained_on(learnable, train_small, interactions, tmp_path):
    assert train_small(learnable, tmp_path / "run", "sasrec", 0, epochs=1).code == 0
    assert json.loads((tmp_path / "run" / RECORD).read_text())["interactions"] == interactions
