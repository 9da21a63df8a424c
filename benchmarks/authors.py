"""Where the paper's gain comes from: the public code, trained by ours, many seeds and variants.

    python benchmarks/authors.py train --reference DIR --data S --output F --seeds 5 --at-once 6
    python benchmarks/authors.py agree --reference DIR --data S --output F
    python benchmarks/authors.py pack --output F --into $OUT

`train` goes on where it was stopped, and stops by itself after `--minutes`. `agree` ranks 200 users
by the code's own evaluation, with our candidates, and computes the loss of a batch by its modules
as they are; both are told beside ours. `pack` copies ranks and records.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from authors_code import (
    LENGTH,
    PAPER,
    SPAN,
    VARIANTS,
    Data,
    Windows,
    build,
    prepare,
    ranks,
    read,
)
from authors_training import BATCH, L2, PENALISED, WEEK_L2, Training, put, train
from harness import gains_of, read_json
from reference import quiet

from fpt_model.data.negatives import seed_step
from fpt_model.data.sequences import Sequences, load

CARRIED = 15 << 20  # bytes of an archive
Job = tuple[str, int, int]  # variant, seed, epochs


def main() -> None:
    asked = arguments()
    if asked.command == "pack":
        pack(asked.output, asked.into)
    elif asked.command == "agree":
        agree(asked)
    elif asked.command == "one":
        one(asked)
    else:
        queue(asked)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "one", "agree", "pack"):
        command = commands.add_parser(name)
        command.add_argument("--output", type=Path, required=True)
        if name == "pack":
            command.add_argument("--into", type=Path, required=True)
            continue
        command.add_argument("--reference", type=Path, required=True, help="checkout of SAS-FPT")
        command.add_argument("--data", type=Path, required=True, help="sequences file")
        command.add_argument("--device", default="cuda")
        command.add_argument("--epochs", type=int, default=200)
        command.add_argument("--until", type=float, default=float("inf"), help=argparse.SUPPRESS)
        if name == "agree":
            command.add_argument("--users", type=int, default=200)
            command.add_argument("--epoch", type=int, default=40)
        if name in ("train", "agree"):
            command.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
        if name == "train":
            command.add_argument("--seeds", type=int, default=5)
            command.add_argument(
                "--jobs", nargs="+", default=[], metavar="VARIANT:SEED:EPOCHS",
                help="these, in this order, not --variants, --seeds and --epochs",
            )  # fmt: skip
            command.add_argument("--at-once", type=int, default=1)
            command.add_argument("--minutes", type=float, default=float("inf"))
        if name == "one":
            command.add_argument("--variant", required=True)
            command.add_argument("--seed", type=int, required=True)
    return parser.parse_args()


def loaded(asked: argparse.Namespace) -> tuple[Sequences, Data]:
    """Both on the device; what its reader makes of the file is kept, since it takes a while."""
    device, kept = torch.device(asked.device), asked.output / "data.pt"
    sequences = load(asked.data)
    if not kept.exists():
        asked.output.mkdir(parents=True, exist_ok=True)
        found = prepare(asked.reference, asked.data, sequences)
        parts = {k: dict(vars(v)) if isinstance(v, Windows) else v for k, v in vars(found).items()}
        put(parts | {"sequences": sequences.values}, kept)
    parts = torch.load(kept)
    if parts.pop("sequences") != sequences.values:
        sys.exit(f"{kept} is of another sequences file")
    data = Data(**{k: Windows(**v) if isinstance(v, dict) else v for k, v in parts.items()})
    return sequences.to(device), data.to(device)


def one(asked: argparse.Namespace) -> None:
    """A training, in this process."""
    torch.set_num_threads(1)
    sequences, data = loaded(asked)
    training = Training(asked.reference, asked.variant, asked.seed, data, sequences)
    train(training, folder_of(asked.output, asked.variant, asked.seed), asked.epochs, asked.until)


def folder_of(output: Path, variant: str, seed: int) -> Path:
    return output / "runs" / f"{variant}-{seed}"


def queue(asked: argparse.Namespace) -> None:
    """Every training in a process of its own, some at once; seeds in turn, each of all variants."""
    until = time.time() + asked.minutes * 60
    loaded(asked)
    jobs = [parsed(text) for text in asked.jobs] or [
        (variant, seed, asked.epochs) for seed in range(asked.seeds) for variant in asked.variants
    ]
    waiting = [job for job in jobs if reached(folder_of(asked.output, *job[:2])) < job[2]]
    running: dict[subprocess.Popen[bytes], Job] = {}
    failed = 0
    while running or (waiting and time.time() < until):
        while waiting and len(running) < asked.at_once and time.time() < until:
            job = waiting.pop(0)
            running[start(asked, *job, until)] = job
        for process in [one for one in running if one.poll() is not None]:
            job = running.pop(process)
            failed += process.returncode != 0
            print(f"{job[0]} seed {job[1]}: ended {process.returncode}", flush=True)
        time.sleep(0.2)
    print(f"{len(waiting)} not begun, {failed} failed")
    sys.exit(1 if failed else 0)


def parsed(text: str) -> Job:
    """Variant, seed and epochs of `sas-fpt:1:80`."""
    variant, seed, epochs = text.split(":")
    if variant not in VARIANTS:
        sys.exit(f"No variant {variant}: {', '.join(VARIANTS)}")
    return variant, int(seed), int(epochs)


def reached(folder: Path) -> int:
    """Epochs that a finished training has."""
    record = folder / "run.json"
    return int(read_json(record)["epochs"]) if record.exists() else 0


def start(
    asked: argparse.Namespace, variant: str, seed: int, epochs: int, until: float
) -> subprocess.Popen[bytes]:
    words: list[Any] = [sys.executable, __file__, "one", "--reference", asked.reference]
    words += ["--data", asked.data, "--output", asked.output, "--device", asked.device]
    words += ["--epochs", epochs, "--until", until, "--variant", variant, "--seed", seed]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(word) for word in words], env=environment)


def agree(asked: argparse.Namespace) -> None:
    """Ranks of some users by its evaluation and by ours, of each variant's first seed."""
    sequences, data = loaded(asked)
    for name in asked.variants:
        variant = VARIANTS[name]
        weights = folder_of(asked.output, name, 0) / f"weights-{asked.epoch}.pt"
        if not weights.exists():
            continue
        model = build(asked.reference, variant, sequences)
        model.load_state_dict(torch.load(weights, map_location=asked.device))
        ours = ranks(model, variant, data, sequences, "test")[: asked.users].cpu().double().numpy()
        theirs = evaluated_by_them(model, name, asked, sequences)
        own = [float(gains_of(ours)[metric].mean()) for metric in ("ndcg_10", "recall_10")]
        same = "the same" if np.allclose(own, theirs, atol=1e-12) else "OTHERS"
        print(f"{name}, {asked.users} users: ours {own}, theirs {list(theirs)}: {same}")
        training = Training(asked.reference, name, 0, data, sequences)
        training.model.load_state_dict(model.state_dict())
        print(f"{name}, loss of a batch: ours {{}}, theirs {{}}".format(*losses(asked, training)))


def losses(asked: argparse.Namespace, training: Training) -> tuple[float, float]:
    """Of a batch without dropout: by ours, and by its module as it is, on arrays of NumPy."""
    variant, sequences = training.variant, training.sequences
    training.model.eval()
    rows = training.rows[:BATCH]
    seed_step(0, 0)
    ours = training.loss(rows).item()
    seed_step(0, 0)
    targets = training.data.targets[rows]
    negatives = training.negatives.draw(rows + 1, tuple(targets.shape)) * (targets != 0)
    model = build(asked.reference, variant, sequences, fed=False)
    model.load_state_dict(training.model.state_dict())
    model.eval()
    windows = training.data.train.select(rows)
    given = [rows + 1, windows.items, windows.intervals(), targets, negatives]
    given += [windows.weeks] if variant.folder == PAPER else []
    arrays = [value.cpu().numpy() for value in given]
    with torch.no_grad():
        scores = model(*arrays)
        real, bce = np.where(arrays[3] != 0), torch.nn.BCEWithLogitsLoss()
        loss = sum(
            bce(values[real], torch.full_like(values, label)[real])
            for values, label in zip(scores, (1.0, 0.0), strict=True)
        )
        loss += L2 * sum(torch.norm(getattr(model, name).weight) for name in PENALISED)
        if variant.folder == PAPER:
            loss += WEEK_L2 * torch.norm(model.week_emb.weight)
    return ours, loss.item()


def evaluated_by_them(
    model: Any, name: str, asked: argparse.Namespace, sequences: Sequences
) -> tuple[float, float]:
    """NDCG@10 and hit rate by its own evaluation, which gets our candidates instead of drawing."""
    variant = VARIANTS[name]
    utils, data = read(asked.reference, variant.folder, asked.data)
    candidates = iter(sequences.candidates["test"][: asked.users].flatten().tolist())
    utils.np = FedNumpy(candidates)  # type: ignore[attr-defined]
    data[3] = asked.users
    model.eval()
    settings = argparse.Namespace(maxlen=LENGTH, time_span=SPAN)
    with quiet(), torch.no_grad():
        found = utils.evaluate(model, data, settings)
    assert next(candidates, None) is None  # it drew each of them, once
    return float(found[0]), float(found[1])


class FedNumpy:
    """`numpy` for its evaluation: a draw of an item is the next of ours."""

    def __init__(self, draws: Any) -> None:
        self.random = argparse.Namespace(randint=lambda *_: next(draws))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def pack(output: Path, into: Path) -> None:
    """Ranks, losses and records without weights, and states of what is not finished.

    An archive of states holds `CARRIED` bytes at most; unpacked into an `--output` they go on.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tarfile.open(into / "ranks.tar.gz", "w:gz") as archive:
        for path in sorted(output.glob("runs/*/*")):
            if path.name.startswith("ranks-") or path.suffix in (".json", ".jsonl"):
                archive.add(path, str(path.relative_to(output)))
    states = output.glob("runs/*/state.pt")
    open_ones = [path for path in sorted(states) if not (path.parent / "run.json").exists()]
    size = CARRIED // max((path.stat().st_size for path in open_ones), default=CARRIED)
    for first in range(0, len(open_ones), max(1, size)):
        with tarfile.open(into / f"states-{first}.tar", "w") as archive:
            for path in open_ones[first : first + size]:
                archive.add(path, str(path.relative_to(output)))
    print(f"{len(open_ones)} not finished")


if __name__ == "__main__":
    main()
