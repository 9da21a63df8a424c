"""Other libraries' models beside ours: our ranks of their scores, the clock, who goes on where."""

import fcntl
import importlib
import json
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fpt_model.config import from_dict, resolve
from fpt_model.data.sequences import load
from fpt_model.errors import ModelError

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"


@pytest.fixture(autouse=True)
def peers_on_path(monkeypatch):
    """Its scripts import each other by their names, as they do when they are run."""
    monkeypatch.syspath_prepend(str(PEERS))
    settings = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(settings[0])
    torch.set_float32_matmul_precision(settings[1])
    torch.use_deterministic_algorithms(False)


def script(name):
    return importlib.import_module(name)


@pytest.fixture
def sequences(learnable):
    return load(learnable)


@pytest.fixture
def fixed(sequences):
    """A peer whose scores are an embedding's; it trains for as long as it may."""
    peer = script("peer")

    class Fixed(peer.Peer):
        steps, about = 4, {"size": "small"}

        def __init__(self, sequences=sequences):
            super().__init__(sequences)
            self.module = torch.nn.Embedding(sequences.n_users, sequences.n_items + 1)
            self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.1)
            self.closed = False

        def train(self, watch):
            while True:
                watch.begin_epoch()
                for _ in range(self.steps):
                    self.module.weight.data += 1
                    watch.after_step()
                watch.end_epoch()

        def scores(self, rows, split):
            assert not self.module.training
            return self.module(rows)

        def close(self):
            self.closed = True

    return Fixed


def by_hand(scores, sequences, split):
    """Recall@10 and NDCG@10 by protocol, user by user, in plain Python."""
    gained = {"uniform_100": [], "full": []}
    for row in sequences.evaluated().tolist():
        own = sequences.items[sequences.starts[row] : sequences.starts[row + 1]].tolist()
        target, drawn = own[-1 if split == "test" else -2], sequences.candidates[split][row]
        all_others = [item for item in range(1, sequences.n_items + 1) if item not in own]
        drawn = [item for item in drawn.tolist() if item]
        for protocol, others in (("uniform_100", drawn), ("full", all_others)):
            values = [scores[row][item] for item in others]
            higher = sum(value > scores[row][target] for value in values)
            equal = sum(value == scores[row][target] for value in values)
            rank = 1 + higher + equal / 2
            gained[protocol].append((rank <= 10, (rank <= 10) / np.log2(rank + 1)))
    return {name: np.mean(found, 0) for name, found in gained.items()}


@pytest.mark.parametrize("split", ["valid", "test"])
def test_quality_is_that_of_our_ranks_of_its_scores(fixed, sequences, split):
    peer = fixed()
    peer.module.weight.data.mul_(2).round_()  # many are equal
    found = script("peer").quality(peer)[split]
    expected = by_hand(peer.module.weight.tolist(), sequences, split)
    for protocol, (recall, ndcg) in expected.items():
        assert found[protocol]["recall_10"] == pytest.approx(recall)
        assert found[protocol]["ndcg_10"] == pytest.approx(ndcg)
    assert peer.module.training  # as it was before


def test_a_score_that_is_no_number_is_refused(fixed):
    peer = fixed()
    peer.module.weight.data[0, 3] = float("nan")
    with pytest.raises(ModelError, match="not a number"):
        script("peer").quality(peer)


def test_a_clock_times_settings_in_turn_after_its_gate(monkeypatch):
    """The first setting takes 5 s a step, the other 1; waiting for the gate counts for nobody."""
    watches, peer = script("watches"), script("peer")
    settings = [peer.Setting(1, deterministic=True), peer.Setting(1, tf32=True)]
    now, turns = [0.0], []
    monkeypatch.setattr(watches.time, "perf_counter", lambda: now[0])

    def gate():
        turns.append("gate")
        now[0] += 1000

    clock = watches.Clock(settings, gate, rounds=2, steps=3)
    monkeypatch.setattr(watches, "WINDOW", 100)
    passed = []

    def train():
        while True:
            slow = torch.are_deterministic_algorithms_enabled()
            passed.append(slow)
            now[0] += 5 if slow else 1
            clock.after_step()

    with pytest.raises(watches.Over):
        train()
    assert turns == ["gate"]
    assert [row["ms"] for row in clock.record()] == [5000, 1000]
    round_ = watches.SETTLE + 3
    expected = [(True, round_ + 3), (False, round_), (True, round_), (False, round_)]
    assert passed == [slow for slow, times in expected for _ in range(times)]
    assert [row["words"] for row in clock.record()][1] == "TF32, 1 thread"


def test_a_slow_round_ends_early(monkeypatch):
    watches, peer = script("watches"), script("peer")
    now = [0.0]
    monkeypatch.setattr(watches.time, "perf_counter", lambda: now[0])
    clock = watches.Clock([peer.Setting(1)], rounds=1, steps=50)

    def train():
        while True:
            now[0] += 1.0
            clock.after_step()

    with pytest.raises(watches.Over):
        train()
    assert now[0] == 50 + watches.SETTLE + 4  # four seconds are more than three
    assert clock.record()[0]["ms"] == 1000


def trained(fixed, tmp_path, found, seconds=1e6):
    """The record of a training whose validations find these, and how often it validated."""
    peers, asked = [], []

    def new():
        peers.append(fixed())
        peers[-1].module.weight.data.zero_()
        return peers[-1]

    def validate(_):
        asked.append(1)
        return found.pop(0)

    with pytest.MonkeyPatch.context() as patch:
        run = script("script")
        patch.setattr(run, "sampled_ndcg", validate)
        row = run.trained(new, script("peer").Setting(1), tmp_path, seconds)
    assert all(peer.closed for peer in peers)
    return row, peers[-1], len(asked)


def test_a_training_ends_where_validation_no_longer_improves(fixed, tmp_path):
    watches = script("watches")
    row, peer, validations = trained(fixed, tmp_path, [0.1, 0.3, *[0.2] * watches.PATIENCE, 0.9])
    assert (row["best_epoch"], row["best_ndcg"]) == (2 * watches.EVERY, 0.3)
    assert row["stopped_because"] == "patience"
    assert validations == 2 + watches.PATIENCE
    assert (peer.module.weight == row["best_epoch"] * peer.steps).all()  # the best weights
    assert 0 < row["best_seconds"] < row["seconds"]


def test_a_stopped_training_goes_on(fixed, tmp_path):
    """Its time was up after one epoch; the weights, the best ones and the seconds are kept."""
    watches = script("watches")
    first, _, _ = trained(fixed, tmp_path, [0.5], seconds=-1.0)
    assert (first["epoch"], first["stopped_because"]) == (1, "time")
    row, peer, _ = trained(fixed, tmp_path, [0.4] * watches.PATIENCE)
    assert (row["best_epoch"], row["epoch"]) == (1, 1 + watches.PATIENCE * watches.EVERY)
    assert (peer.module.weight == peer.steps).all()
    assert row["seconds"] > first["seconds"]
    assert [epoch for epoch, _ in row["validated"]][:3] == [1, 2, 4]


def test_steps_are_taken_by_the_fastest_setting(fixed, tmp_path, sequences):
    run = script("script")
    found = run.steps(fixed, [1], lambda: None)
    assert [row["words"] for row in found] == [
        "float32, its threads", "TF32, its threads", "TF32, 1 thread",
    ]  # fmt: skip
    for row, ms in zip(found, (3, 2, 1), strict=True):
        row["ms"] = ms
    (tmp_path / run.STEPS).write_text(json.dumps({"steps": found}))
    assert run.fastest(tmp_path / run.STEPS) == script("peer").Setting(1, tf32=True)
    found[1]["ms"] = 0.7
    (tmp_path / run.STEPS).write_text(json.dumps({"steps": found}))
    assert run.fastest(tmp_path / run.STEPS, at_most=3) == script("peer").Setting(3, tf32=True)
    found[0]["ms"] = 0.5
    (tmp_path / run.STEPS).write_text(json.dumps({"steps": found}))
    assert run.fastest(tmp_path / run.STEPS) == script("peer").Setting()
    assert run.fastest(tmp_path / "none.json") == script("peer").Setting(1, tf32=True)


def test_a_peer_that_turns_a_setting_off_when_made_has_it_in_training(fixed, tmp_path):
    """RecTools' models turn determinism off in their constructors, for the whole process."""
    wanted, seen = script("peer").Setting(deterministic=True), []

    class Careless(fixed):
        own = wanted

        def __init__(self):
            super().__init__()
            torch.use_deterministic_algorithms(False)

        def train(self, watch):
            seen.append(torch.are_deterministic_algorithms_enabled())
            super().train(watch)

    run = script("script")
    run.steps(Careless, [1], lambda: None)
    run.trained(Careless, wanted, tmp_path / "F", 60)
    assert seen == [True, True]


def test_a_turn_waits_for_the_lock(tmp_path):
    turns = script("turns")
    with turns.held(tmp_path / turns.LOCK) as _, (tmp_path / turns.LOCK).open() as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folders = {tmp_path / "a": lambda: False, tmp_path / "b": lambda: True}
        assert not turns.all_ready(folders)
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / turns.READY).touch()
        assert turns.all_ready(folders)  # b has ended, whatever it was about
    turns.wait_for_turn(tmp_path / "c")
    assert (tmp_path / "c" / turns.READY).exists()
    with (tmp_path / turns.LOCK).open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # to the end of this process


LIBRARY = """
import argparse, json, sys, time
from pathlib import Path
sys.path.insert(0, {peers!r})
from turns import wait_for_turn
parser = argparse.ArgumentParser()
parser.add_argument("what")
for name in ("model", "sequences", "output", "device", "minutes", "reference", "at-most"):
    parser.add_argument("--" + name)
parser.add_argument("--threads", nargs="*")
asked = parser.parse_args()
output = Path(asked.output)
calls = output.parent / "calls.txt"
if asked.model == "broken":
    sys.exit("No module named 'their_library'")
if asked.model == "endless":
    (output / "ready").touch()
    try:
        time.sleep(60)
    finally:
        (output / "closed").touch()
if asked.what == "steps":
    wait_for_turn(output)
    with calls.open("a") as file:
        print("begin", asked.model, file=file, flush=True)
        time.sleep(0.05)
        print("end", asked.model, file=file, flush=True)
    slower = 3 if asked.model == "two" else 1
    steps = [dict(ms=50.0 * slower, words="float32"), dict(ms=20.0 * slower, words="TF32")]
    (output / "steps.json").write_text(json.dumps(dict(steps=steps, steps_an_epoch=10)))
else:
    with calls.open("a") as file:
        print("train", asked.model, asked.minutes, asked.at_most, file=file)
    better = 0.1 * (asked.model == "two")
    def both(ndcg):
        return {{
            name: dict(recall_10=0.5, ndcg_10=ndcg + better + more)
            for name, more in (("uniform_100", 0.2), ("full", 0.0))
        }}
    row = dict(best_epoch=6, epoch=8, stopped_because="patience", steps_an_epoch=10)
    quality = dict(valid=both(0.15), test=both(0.1))
    (output / "result.json").write_text(json.dumps(row | dict(quality=quality)))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The runner with a library that is quick: three models, one of which can't be imported."""
    run = script("run")
    (tmp_path / "library.py").write_text(LIBRARY.format(peers=str(PEERS)))
    monkeypatch.setattr(run, "HERE", tmp_path)
    jobs = [
        run.Job("ours: One", "library", "one"),
        run.Job("Broken", "library", "broken"),
        run.Job("Two", "library", "two", "ours: One"),
    ]
    monkeypatch.setattr(run, "JOBS", jobs)
    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def measure(run, output, monkeypatch, *words):
    line = ["run.py", "measure", "--sequences", "s", "--output", str(output), "--minutes", "2"]
    monkeypatch.setattr(sys, "argv", [*line, *words])
    run.main()


def test_steps_are_timed_one_after_the_other_then_all_are_trained(
    run, tmp_path, monkeypatch, capfd
):
    measure(run, tmp_path / "out", monkeypatch)
    calls = (tmp_path / "out" / "calls.txt").read_text().splitlines()
    timed, after = calls[:4], calls[4:]
    assert [line.split()[0] for line in timed] == ["begin", "end", "begin", "end"]
    assert timed[0].split()[1] == timed[1].split()[1]
    assert after == ["train one 2.0 None", "train two 2.0 None"]
    assert "library-broken steps: failed, No module named 'their_library'" in capfd.readouterr().out


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(run, tmp_path, monkeypatch):
    measure(run, tmp_path / "out", monkeypatch)
    file = tmp_path / "out" / "library-two" / "result.json"
    file.unlink()
    (tmp_path / "out" / "calls.txt").unlink()
    monkeypatch.setattr(run.os, "sched_getaffinity", lambda _: range(7))
    measure(run, tmp_path / "out", monkeypatch, "--at-once", "2")  # of three threads each
    assert (tmp_path / "out" / "calls.txt").read_text() == "train two 2.0 3\n"
    late = json.loads(file.read_text()) | {"stopped_because": "time"}
    file.write_text(json.dumps(late))
    measure(run, tmp_path / "out", monkeypatch)
    assert (tmp_path / "out" / "calls.txt").read_text() == "train two 2.0 3\ntrain two 2.0 None\n"


def test_nobody_trains_longer_than_all_may(run, tmp_path, monkeypatch):
    """Of four minutes for all two have passed; with half a minute left nothing begins."""
    words = ["--what", "train", "--in-all", "4", "--minutes", "3"]
    monkeypatch.setattr(run, "BEGAN", run.time.monotonic() - 120)
    measure(run, tmp_path / "out", monkeypatch, *words)
    calls = (tmp_path / "out" / "calls.txt").read_text().splitlines()
    assert [1.9 < float(line.split()[2]) <= 2 for line in calls] == [True, True]
    monkeypatch.setattr(run, "BEGAN", run.time.monotonic() - 210)
    measure(run, tmp_path / "later", monkeypatch, *words)
    assert not (tmp_path / "later").exists()


def test_nothing_is_left_running(run, tmp_path, monkeypatch):
    """Stopped while a model is timed: its script is interrupted, and closes what it began."""

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "end_some", stopped)
    monkeypatch.setattr(run, "JOBS", [run.Job("Endless", "library", "endless")])
    with pytest.raises(KeyboardInterrupt):
        measure(run, tmp_path / "out", monkeypatch)
    assert (tmp_path / "out" / "library-endless" / "closed").exists()


def test_the_page_gets_both_tables_and_the_reason_of_a_failure(run, tmp_path, monkeypatch):
    measure(run, tmp_path / "out", monkeypatch)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "docs" / "results")
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "peers.md"
    page.write_text("<!-- peers: begin -->\n<!-- peers: end -->\n")
    monkeypatch.setattr(sys, "argv", ["run.py", "record", "--output", str(tmp_path / "out")])
    run.main()
    lines = page.read_text().splitlines()
    quality, speed = (
        lines.index(f"| {' | '.join(run.QUALITY)} |"),
        lines.index(f"| {' | '.join(run.SPEED)} |"),
    )
    # among all items on validation, on test; then among 100; the best on test first
    best = [".5000 / .2500", ".5000 / .2000", ".5000 / .4500", ".5000 / .4000"]
    next_ = [".5000 / .1500", ".5000 / .1000", ".5000 / .3500", ".5000 / .3000"]
    assert lines[quality + 2 : quality + 4] == [
        f"| Two | {' | '.join(best)} | 6 of 8 | no longer better |",
        f"| ours: One | {' | '.join(next_)} | 6 of 8 | no longer better |",
    ]
    assert lines[speed + 2 : speed + 4] == [
        "| ours: One | 50.0 | 20.0 |  | 1.2 |",  # 6 epochs of 10 steps of 20 ms
        "| Two | 150.0 | 60.0 | 3 (One) | 3.6 |",
    ]
    for what in ("timed", "trained"):
        assert f"Not {what} yet: Broken (No module named 'their_library')." in lines
    assert "| Two | TF32 | 60.0 |" in lines
    (tmp_path / "out" / "library-one" / "steps.json").unlink()
    rows = run.rows_of(tmp_path / "out", run.JOBS)
    lines = run.tables(rows).splitlines()
    assert "| Two | 150.0 | 60.0 |  | 3.6 |" in lines  # ours was not timed
    assert "Not timed yet: ours: One; Broken (No module named 'their_library')." in lines
    assert [row["name"] for row in json.loads((tmp_path / "docs/results/peers.json").read_text())][
        1
    ] == "library-broken"


def test_the_page_is_made_of_its_record():
    """docs/peers.md has the tables of docs/results/peers.json."""
    run, harness = script("run"), script("harness")
    rows = harness.read_json(harness.RESULTS / "peers.json")
    page = (harness.ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    assert harness.replaced(page, "peers", run.tables(rows)) == page


def widest(presets):
    """How far five seeds of ours lie apart, at most: NDCG@10 among all items, 5-core."""
    of = {}
    for row in script("harness").read_json(script("harness").RESULTS / "runs.json"):
        if (row["dataset"], row["retention"]) == ("ml-1m", "5-core") and row["preset"] in presets:
            of.setdefault((row["preset"], row["variant"]), []).append(row["full_ndcg_10"])
    return round(max(max(found) - min(found) for found in of.values()), 3)


def test_the_page_says_what_its_record_has():
    """Its pairs of figures, and what lies further apart than seeds of ours do, or nearer."""
    run, harness = script("run"), script("harness")
    rows = {row["title"]: row for row in harness.read_json(harness.RESULTS / "peers.json")}
    page = (harness.ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    said = page.partition("## What it says")[2].partition("\n## ")[0]
    pairs = set(re.findall(r"\.\d{4} / \.\d{4}", said))
    assert len(pairs) == 10
    assert pairs <= {cell for row in rows.values() for cell in run.quality_row(row)[1:5]}
    apart, of_paper = widest(("compact", "best", "best_request")), widest(("paper",))
    assert f"up to {apart:.3f} of NDCG@10 apart among all items (`paper`: {of_paper:.3f};" in (
        said.replace(" .", " 0.")
    )
    ndcg = {title: run.test_ndcg(row) for title, row in rows.items()}
    sasrec, hstu = ndcg["RecTools: SASRec"], ndcg["RecTools: HSTU (knows the request)"]
    for ours in ("ours: SAS-FPT, `best`", run.BEST, run.COMPACT):
        assert ndcg[ours] > sasrec + apart
    between = sasrec - ndcg["RecTools: eSASRec"]
    assert apart < between <= apart + 0.001
    assert f"lie {between:.4f}".replace("0.", ".") + " of NDCG@10 apart, hardly" in said
    assert ndcg[run.REQUEST] > hstu + apart
    assert apart < hstu - sasrec <= apart + 0.002
    assert f"{hstu - sasrec:.4f}"[1:] + " of NDCG@10 above RecTools' own SASRec" in said
    public, paper = ndcg["TiSASRec.pytorch"], ndcg[run.PAPER]
    assert abs(public - paper) <= of_paper
    assert ndcg["RePlay: SasRec with intervals"] > max(public, paper) + of_paper
    late = {title for title, row in rows.items() if row["stopped_because"] == "time"}
    assert late == {"RecTools: HSTU (knows the request)", "TiSASRec.pytorch"}
    validated = {title: dict(map(tuple, rows[title]["validated"])) for title in late}
    for title, epochs in (
        ("RecTools: HSTU (knows the request)", (90, 98)),
        ("TiSASRec.pytorch", (70, 72, 79)),
    ):
        for epoch in epochs:
            assert re.search(
                rf"{validated[title][epoch]:.4f}"[1:] + rf" at (epoch )?{epoch}\b", said
            )
    speeds = [run.times_ours(row, list(rows.values())) for row in rows.values()]
    times = sorted(int(cell.split()[0]) for cell in speeds if cell)
    assert f"{times[0]} to {times[-1]} times as long" in said
    for own in (True, False):
        seconds = [
            run.to_best(row) for row in rows.values() if row["title"].startswith("ours") is own
        ]
        first, last = min(seconds, key=float), max(seconds, key=float)
        assert (
            f"{first} to {last} s of steps" in said if own else f"a peer {first} to {last}." in said
        )
    ours, theirs = (rows[title]["quality"]["test"] for title in (run.BEST, "RecTools: SASRec"))
    sampled, among_all = (
        ours[name]["ndcg_10"] / theirs[name]["ndcg_10"] - 1 for name in ("uniform_100", "full")
    )
    assert (
        f"by {sampled:.0%} of NDCG@10, among all items by {among_all:.0%}".replace("%", " %")
        in said
    )


def test_the_page_says_what_ours_were_measured_with_where_their_presets_have_changed():
    """By the settings that the record has of each."""
    harness = script("harness")
    page = (harness.ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    expected = set()
    for row in harness.read_json(harness.RESULTS / "peers.json"):
        if row["title"].startswith("ours"):
            then = from_dict(row["about"]).to_dict()
            now = resolve(then["model"], then["preset"]).to_dict()
            changed = " ".join(f"{k}={v}" for k, v in then.items() if v != now[k])
            expected |= {f"`{then['preset']}` was measured with `{changed}`"} if changed else set()
    assert set(re.findall(r"`\w+` was measured with `[^`]*`", page)) == expected


def test_our_record_is_read_from_our_files(learnable, tmp_path, run_command):
    """Trained and ranked by our command: the qualities are those of the file of ranks."""
    ours = script("ours")
    places = ["--sequences", learnable, "--device", "cpu", "--threads", 1]
    words = ["--model", "sasrec", "--set", "epochs=4", "--set", "validate_every=2"]
    words += ["--set", "item_width=8", "--set", "max_length=8"]
    run_command("train", *places, "--output", tmp_path / "run", *words)
    run_command("evaluate", *places, "--run", tmp_path / "run")
    row = ours.record(tmp_path / "run")
    assert (row["epoch"], row["stopped_because"]) == (4, "epochs")
    assert [epoch for epoch, _ in row["validated"]] == [2, 4]
    found = row["quality"]["valid"]["uniform_100"]["ndcg_10"]
    assert found == pytest.approx(row["best_ndcg"], abs=1e-6)
    assert 0 < row["best_seconds"] <= row["seconds"] + 1


def test_rectools_gets_what_its_own_recommend_makes(sequences):
    """Needs RecTools; its lists are ours where our ranks have the same scores."""
    pytest.importorskip("rectools", reason="RecTools is not installed beside us")
    with_rectools, watches = script("with_rectools"), script("watches")
    import pandas as pd
    from rectools import Columns

    peer = with_rectools.RecTools("hstu", sequences)

    class TwoEpochs(watches.Watch):
        epochs = 0

        def end_epoch(self):
            self.epochs += 1
            if self.epochs == 2:
                raise watches.Over

    script("script").watched(peer, TwoEpochs())
    peer.model.is_fitted = True
    rows = sequences.evaluated()
    before = sequences.held_out(rows, "valid")
    request = sequences.times[sequences.starts[rows] + before].numpy()
    context = pd.DataFrame(
        {
            Columns.User: (rows + 1).numpy(),
            Columns.Datetime: pd.to_datetime(request, unit="s"),
            Columns.Weight: 1.0,
        }
    )
    lists = peer.model.recommend(
        (rows + 1).numpy(), peer.dataset, k=5, filter_viewed=False, context=context
    )
    peer.module.eval()
    with torch.no_grad():
        scores = peer.scores(rows, "valid")
    theirs = lists.groupby(Columns.User)[Columns.Score].agg(list)
    for place, row in enumerate(rows.tolist()):
        ours = scores[place, 1:].sort(descending=True).values[:5]
        assert theirs[row + 1] == pytest.approx(ours.tolist(), abs=1e-5)


def test_replay_gets_what_its_own_dataset_makes(sequences):
    """Needs RePlay; histories before the validation item are the training parts."""
    pytest.importorskip("replay", reason="RePlay is not installed beside us")
    with_replay = script("with_replay")
    from replay.models.nn.sequential.sasrec import SasRecPredictionDataset

    peer = with_replay.RePlay(sequences)
    peer.model.eval()
    frames = peer.loader.dataset._inner._sequential
    batches = torch.utils.data.DataLoader(
        SasRecPredictionDataset(frames, with_replay.LENGTH), batch_size=1
    )
    rows = {int(batch["query_id"]): peer.model.predict(batch)[0] for batch in batches}
    with torch.no_grad():
        for row in sequences.evaluated().tolist():
            if row in rows:
                found = peer.scores(torch.tensor([row]), "valid")[0, 1:]
                torch.testing.assert_close(found, rows[row])


def test_histories_are_those_of_its_own_evaluation():
    """TiSASRec.pytorch: the latest T before the held-out item, left-padded by zeros."""
    with_public = script("with_tisasrec_pytorch")
    train = {1: [[5, 1], [6, 3]], 2: [[7, 1], [8, 2], [9, 9]]}
    valid = {1: [[2, 8]], 2: [[3, 10]]}
    users, items, times = with_public.histories((train, valid), [0, 1], "test", 3)
    assert users.tolist() == [1, 2]
    assert items.tolist() == [[5, 6, 2], [8, 9, 3]]
    assert times.tolist() == [[1, 3, 8], [2, 9, 10]]
    _, items, times = with_public.histories((train, valid), [0, 1], "valid", 3)
    assert items.tolist() == [[0, 5, 6], [7, 8, 9]]
    assert times.tolist() == [[0, 1, 3], [1, 2, 9]]


def test_a_reader_that_numbers_otherwise_is_refused(sequences):
    with_public = script("with_tisasrec_pytorch")
    parts = [{}, {}, {}]
    for row in range(sequences.n_users):
        own = sequences.items[sequences.starts[row] : sequences.starts[row + 1]].tolist()
        for part, some in zip(parts, (own[:-2], own[-2:-1], own[-1:]), strict=True):
            part[row + 1] = [[item, 0] for item in some]
    with_public.refuse_other_numbers(parts, sequences)
    parts[0][3][0][0] += 1
    with pytest.raises(ValueError, match="user 3"):
        with_public.refuse_other_numbers(parts, sequences)
