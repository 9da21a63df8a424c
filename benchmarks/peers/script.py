"""What every peer's script does: time its steps, or train it; one file each."""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from peer import Peer, Row, Setting, quality
from turns import wait_for_turn
from watches import Clock, Over, Training, Watch, sampled_ndcg, settings_of

from fpt_model.data.sequences import Sequences, load

from harness import write_json  # isort: skip  # found where `peer` has put its folder on the path
from results import cpu, versions  # isort: skip

STEPS, RESULT = "steps.json", "result.json"


def watched(peer: Peer, watch: Watch) -> None:
    """Train a peer till its watch has seen enough."""
    watch.peer = peer
    try:
        peer.train(watch)
    except Over:
        pass
    finally:
        peer.close()


def steps(new: Callable[[], Peer], threads: Sequence[int], gate: Callable[[], object]) -> list[Row]:
    """Milliseconds a step of a new peer, under each setting."""
    peer = new()
    clock = Clock(settings_of(peer.own, threads), gate)
    watched(peer, clock)
    return clock.record()


def trained(new: Callable[[], Peer], setting: Setting, folder: Path, seconds: float) -> Row:
    """The record of a training and of its chosen epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    training = Training(folder, time.time() + seconds, sampled_ndcg)
    torch.manual_seed(0)
    peer = new()
    setting.apply()  # last: RecTools' own trainer, made and not used, says that nothing need be so
    watched(peer, training)
    Setting().apply()
    peer.module.to(peer.sequences.device)  # a trainer leaves it on the processor
    peer.module.load_state_dict(training.best)
    about = {"stopped_because": training.stopped_because, "setting": setting.words}
    about |= {"steps_an_epoch": peer.steps, "about": peer.about}
    return about | asdict(training.progress) | {"quality": quality(peer)}


def facts(device: torch.device, *packages: str) -> Row:
    """Of a record: where it was measured, and by which versions."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu()
    return {"device": name, "processor": cpu(), "versions": versions("torch", *packages)}


def arguments(models: Sequence[str], what: str) -> argparse.Namespace:
    """Of a peer's script."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("what", choices=["steps", "train"])
    parser.add_argument("--model", choices=models, required=True)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of this model")
    parser.add_argument("--reference", type=Path, help="checkout of TiSASRec.pytorch")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2, 4, 8], help="to try")
    parser.add_argument("--at-most", type=int, help="threads, where others train beside")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training")
    return parser.parse_args()


def run(
    asked: argparse.Namespace, new: Callable[[Sequences], Peer], packages: Sequence[str]
) -> None:
    """Time a peer's steps, or train it by the setting that was fastest; one file each."""
    device = torch.device(asked.device)
    sequences = load(asked.sequences).to(device)
    path = asked.output / STEPS
    if asked.what == "steps":
        found = steps(lambda: new(sequences), asked.threads, partial(wait_for_turn, asked.output))
        for row in found:
            print(f"{asked.model}: {row['ms']:.2f} ms a step ({row['words']})", flush=True)
        write_json(path, facts(device, *packages) | {"steps": found})
        return
    setting = fastest(path, asked.at_most)
    began = time.perf_counter()
    row = trained(lambda: new(sequences), setting, asked.output, asked.minutes * 60)
    row |= facts(device, *packages) | {"whole_seconds": time.perf_counter() - began}
    write_json(asked.output / RESULT, row)
    print(f"{asked.model}: epoch {row['best_epoch']}, {json.dumps(row['quality'])}", flush=True)


def fastest(path: Path, at_most: int | None = None) -> Setting:
    """Of the settings that were timed; if none was, what was fastest for most.

    Args:
        path: of the steps.
        at_most: threads, where others train beside.
    """
    if not path.exists():
        return Setting(1, tf32=True)
    rows = json.loads(path.read_text(encoding="utf-8"))["steps"]
    best = min(rows, key=lambda row: row["ms"])
    threads = min(filter(None, (best["threads"], at_most)), default=None)
    return Setting(threads, best["deterministic"], best["tf32"])
