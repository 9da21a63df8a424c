"""Trainings that are taught by others of the same settings, and what targets are drawn from."""

import json
import signal
from dataclasses import replace

import pytest
import torch

from fpt_model.config import resolve
from fpt_model.data.negatives import generator
from fpt_model.data.seen import seen_before
from fpt_model.data.sequences import load
from fpt_model.data.targets import drawn_targets
from fpt_model.data.training_windows import training_windows
from fpt_model.engines.shared import Training
from fpt_model.errors import InterruptedTrainingError, ModelError
from fpt_model.files.checkpoints import read
from fpt_model.training import teaching
from fpt_model.training.run import PUT_ASIDE, Run, seed_of_teacher, train
from fpt_model.training.trainer import trainer_of

CPU = torch.device("cpu")


@pytest.fixture
def histories(user, make_sequences):
    """Two users with training parts of five and two items, and the two that are held out."""
    return make_sequences([user([1, 2, 3, 4, 5, 6, 7]), user([3, 1, 8, 9])], 12)


def drawn(histories, taught, share, epoch):
    return drawn_targets(histories, taught, share, epoch, generator(0, 99, epoch))


def test_as_often_as_it_says_teachers_are_asked_whose_draws_take_turns(histories):
    taught = torch.tensor([[10, 11]] * 11, dtype=torch.int16)
    assert drawn(histories, taught, 0.0, 0)[[0, 1, 2, 3, 7]].tolist() == [2, 3, 4, 5, 1]
    assert drawn(histories, taught, 1.0, 0)[:4].tolist() == [10] * 4
    assert drawn(histories, taught, 1.0, 3)[:4].tolist() == [11] * 4
    several = torch.stack([drawn(histories, taught, 0.3, 2 * n) for n in range(400)])
    assert several[:, :4].eq(10).double().mean().item() == pytest.approx(0.3, abs=0.05)
    assert set(several[:, 0].tolist()) == {2, 10}


def test_without_teachers_the_next_item_is_learnt(learnable, small_config):
    config = replace(small_config("sas_fpt"), teacher_share=0.5)
    training = Training(config, 0, load(learnable))
    assert training.targets() is None


def test_windows_have_the_targets_that_they_are_given(histories):
    taught = torch.arange(100, 111)
    rows, ends = torch.tensor([0, 1]), torch.tensor([4, 1])
    _, targets = training_windows(histories, rows, ends, 5, taught)
    assert targets.tolist() == [[0, 100, 101, 102, 103], [0, 0, 0, 0, 107]]


@pytest.mark.parametrize("length", [1, 2, 7, 8, 50])
def test_every_place_is_asked_for_once_and_sees_half_a_window_or_all(user, make_sequences, length):
    histories = [user(list(range(1, n + 1))) for n in (3, 4, 12, 19)]
    sequences = make_sequences([*histories, user([4, 5], n_train=2)], 20)
    asked = {}
    for part in teaching.contexts(sequences, length, 3):
        assert len(part.rows) <= 3
        for row, end, latest in zip(*(one.tolist() for one in part), strict=True):
            for place in range(end - latest, end):
                assert (row, place) not in asked
                asked[row, place] = place - max(0, end - length) + 1
    places = {
        (row, place) for row, n in enumerate(sequences.n_train.tolist()) for place in range(n - 1)
    }
    assert asked.keys() == places
    assert all(seen >= min(place + 1, (length + 1) // 2) for (_, place), seen in asked.items())


def test_draws_are_from_the_mean_of_probabilities_of_new_items(
    learnable, small_config, monkeypatch
):
    monkeypatch.setattr(teaching, "DRAWS", 20_000)
    sequences = load(learnable)
    config = small_config("sas_fpt")
    models = [Training(config, seed, sequences).model.eval() for seed in (0, 1)]
    for model in models:
        with torch.no_grad():
            model.items.weight[1:] *= 30  # far from equal probabilities
    first = replace(
        sequences, starts=sequences.starts[:3], n_train=sequences.n_train[:2],
        scales=sequences.scales[:2], items=sequences.items[: sequences.starts[2]],
    )  # fmt: skip
    got = teaching.draws(models, first, 5)
    row, place = 1, int(first.n_train[1]) - 2  # its last training place that is followed by one
    windows = first.windows(torch.tensor([row]), torch.tensor([place + 1]), config.max_length)
    seen = seen_before(first, torch.tensor([row + 1]), torch.tensor([[place + 1]]))[0, 0]
    seen[0] = True
    with torch.no_grad():
        scores = [model.score_all(model(windows))[0, -1] for model in models]
    expected = torch.stack([s.masked_fill(seen, -torch.inf).softmax(0) for s in scores]).mean(0)
    counts = got[int(first.starts[row]) + place].long().bincount(minlength=len(expected))
    assert (counts.double() / 20_000 - expected).abs().max() < 0.015
    assert expected.max() > 0.1
    assert counts[seen].sum() == 0
    assert (
        got[int(first.starts[row]) + place + 1 :].eq(0).all()
    )  # nobody is taught what is held out


def test_where_items_come_again_those_of_before_are_drawn_too(user, make_sequences, small_config):
    """A user who has had all that there are is taught as well."""
    repeats = make_sequences([user([1, 2, 1, 2, 1, 2, 2])], 2)
    sequences = replace(repeats, comes_again=True)
    model = Training(small_config("sasrec"), 0, sequences).model
    got = teaching.draws([model], sequences, 0)
    assert set(got[3].tolist()) == {1, 2}


def test_teachers_are_trained_first_and_teach_what_they_draw(learnable, small_config, tmp_path):
    events = []
    config = small_config("sas_fpt", teachers=2, teacher_share=0.5, refit=True, epochs=2)
    train(learnable, {3: tmp_path}, config, CPU, events.append, "reference")
    alone = small_config("sas_fpt", epochs=2)
    for number in range(2):
        own = json.loads((tmp_path / f"teacher-{number}" / "run.json").read_text())
        assert (own["seed"], own["config"]) == (seed_of_teacher(3, number), alone.to_dict())
    sequences = load(learnable)
    models = []
    for number in range(2):
        model = Training(alone, 0, sequences).model
        model.load_state_dict(read(tmp_path / f"teacher-{number}" / "best.safetensors").tensors)
        models.append(model)
    again = trainer_of(config, 3, sequences)
    again.training.taught = teaching.draws(models, again.sequences, 3)
    for _ in range(json.loads((tmp_path / "search/run.json").read_text())["best_epoch"]):
        for _ in range(again.steps):
            again.step()
        again.end_epoch()
    again.use_best()
    kept = read(tmp_path / "search" / "best.safetensors").tensors
    assert all(torch.equal(kept[name], value) for name, value in again.weights().items())
    assert {event["seed"] for event in events} == {3}
    assert [event["event"] for event in events].count("done") == 1
    parts = [json.loads((tmp_path / n / "run.json").read_text()) for n in ("", "search")]
    alone = [
        sum(json.loads(line)["seconds"] for line in (tmp_path / n / "epochs.jsonl").open())
        for n in ("teacher-0", "teacher-1", "search")
    ]
    assert parts[0]["train_seconds"] > parts[1]["train_seconds"] == pytest.approx(sum(alone))
    shares = [event["share"] for event in events if event["event"] == "epoch"]
    assert shares == sorted(shares)
    assert shares[:2] == [0.125, 0.25]
    assert shares[-1] == 1.0


@pytest.mark.parametrize("refit", [False, True])
def test_a_student_that_is_stopped_goes_on_to_the_same_weights(
    refit, learnable, small_config, tmp_path, monkeypatch
):
    """And no epoch is trained twice: not a teacher's, not of the search, not of the second one."""
    config = small_config("sas_fpt", teachers=1, teacher_share=0.7, epochs=3, refit=refit)
    train(learnable, {0: tmp_path / "whole"}, config, CPU, lambda _: None, "reference")
    real, count = Run.end_epoch, [0]
    # the teacher's second epoch, the student's first, and with `refit` the first of the second one
    stops = (2, 4, 7)[: 2 + refit]

    def end_epoch(self, seconds):
        real(self, seconds)
        count[0] += 1
        if count[0] in stops:
            self.save()
            raise InterruptedTrainingError(15)

    monkeypatch.setattr(Run, "end_epoch", end_epoch)
    for _ in stops:
        with pytest.raises(InterruptedTrainingError):
            train(learnable, {0: tmp_path / "cut"}, config, CPU, lambda _: None, "reference")
    train(learnable, {0: tmp_path / "cut"}, config, CPU, lambda _: None, "reference")
    one, other = (read(tmp_path / n / "best.safetensors").tensors for n in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    chosen = json.loads((tmp_path / "cut" / "run.json").read_text())["best_epoch"]
    assert count[0] == 6 + (chosen if refit else 0)


def test_a_signal_at_the_end_of_a_teacher_is_heeded(learnable, small_config, tmp_path, monkeypatch):
    """What comes next does not begin: neither another teacher, nor the search, nor the student."""
    config = small_config("sasrec", teachers=2, teacher_share=0.5, refit=True, epochs=1)
    real = Run.finish

    def finish(self):
        real(self)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Run, "finish", finish)
    ours = [tmp_path / "teacher-0", tmp_path / "teacher-1", tmp_path / "search", tmp_path]
    for number in range(len(ours)):
        with pytest.raises(InterruptedTrainingError):
            train(learnable, {0: tmp_path}, config, CPU, lambda _: None, "reference")
        assert [(one / "run.json").exists() for one in ours] == [
            place <= number for place in range(len(ours))
        ]
    train(learnable, {0: tmp_path}, config, CPU, lambda _: None, "reference")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("where", ["run.load_weights", "run.draws", "run.Run.resume"])
def test_a_signal_while_no_step_is_made_ends_the_command_as_in_a_step(
    where, number, learnable, train_words, run_command, tmp_path, loaded
):
    """Between two teachers, after both, and before a training's first step."""
    words = train_words(learnable, tmp_path, "sasrec", teachers=2, teacher_share=0.5, epochs=1)
    told = f"lambda *_: signal.raise_signal({number:d})"
    first = f"import signal\nfrom fpt_model.training import run\n{where} = {told}"
    process = loaded.start(*words, first=first)
    events = [json.loads(line) for line in process.stdout]
    assert process.wait() == 128 + number
    said = {"event": "interrupted", "message": f"interrupted by {number.name}"}
    assert [event for event in events if event["event"] not in ("start", "epoch")] == [said]
    assert run_command(*words).code == 0


def test_what_is_put_aside_at_its_very_end_has_ended(
    learnable, small_config, tmp_path, monkeypatch
):
    """So it is ranked by the engine that trained it."""
    real = Run.finish

    def finish(self):
        real(self)
        signal.raise_signal(PUT_ASIDE)

    monkeypatch.setattr(Run, "finish", finish)
    config = small_config("sasrec", epochs=1)
    train(learnable, {0: tmp_path}, config, CPU, lambda _: None, "reference")
    assert (tmp_path / "run.json").exists()


def test_teachers_need_scores_of_all_items():
    settings = {"teachers": 1, "teacher_share": 0.5, "loss": "sampled_softmax"}
    with pytest.raises(ModelError, match="all items"):
        resolve("sasrec", "paper", settings)


@pytest.mark.parametrize("alone", [{"teachers": 2}, {"teacher_share": 0.5}])
def test_teachers_without_a_share_or_a_share_without_teachers_are_refused(alone):
    with pytest.raises(ModelError, match=r"changes nothing: got teachers .*, expected both"):
        resolve("sasrec", "paper", alone)
