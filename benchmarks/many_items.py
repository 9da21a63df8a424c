"""Millions of items on one GPU and on several, and a step of engine `distributed` beside others.

    python benchmarks/many_items.py items --items 10000000 --seconds 60
    python benchmarks/many_items.py memory --counts 100000 1000000 10000000
    python benchmarks/many_items.py batches --batches 1024 4096 8192

    torchrun --standalone --nproc-per-node 2 benchmarks/many_items.py items
    torchrun --standalone --nproc-per-node 2 benchmarks/many_items.py batches

`items` trains a SASRec by the product's own engine, loss `sampled_softmax`, and measures the loss
of a full softmax on the validation items of some users. `memory` takes some steps at each number of
items. `batches` measures a step by several engines. `write` leaves a sequences file for
`python -m fpt_model train`. Under torchrun a GPU is a rank, and the item table is cut by row over
them (`items` with two ranks was cut off after 75 s, the others not run). Prints JSON.

Made histories: items lie in groups of 100, of which some are asked for far more than others; a user
walks forward through one group, mostly by one item. The two latest items are held out.

Letters: N users, L interactions of each, I items.
"""

import argparse
import gc
import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from timing import facts, seconds
from torch import Tensor

from fpt_model.config import Config, resolve
from fpt_model.data.sequences import N_CANDIDATES, SCHEMA, Sequences
from fpt_model.deterministic import prepare
from fpt_model.engines.distributed.follow import follow
from fpt_model.engines.distributed.group import Group, leave, meet
from fpt_model.evaluation.ranks import scored
from fpt_model.evaluation.scorer import scorer
from fpt_model.training.trainer import Trainer, trainer_of

GROUP = 100  # items


def made(users: int, length: int, n_items: int, device: torch.device) -> Tensor:
    """(N, L) items of users."""
    draw = torch.Generator(device).manual_seed(1)
    groups = n_items // GROUP
    chance = torch.rand(users, 1, generator=draw, device=device, dtype=torch.float64)
    group = (groups * chance**3).long().clamp(max=groups - 1)
    moves = torch.rand(users, length, generator=draw, device=device)
    steps = torch.where(moves < 0.8, 1, torch.where(moves < 0.9, 2, 3))
    first = torch.randint(GROUP, (users, 1), generator=draw, device=device)
    return 1 + group * GROUP + (first + steps.cumsum(1)) % GROUP


def sequences_of(items: Tensor, n_items: int) -> Sequences:
    """Of items (N, L), a minute apart."""
    users, length = items.shape
    flat, device = items.flatten(), items.device
    stamps = 60 * torch.arange(length, device=device).repeat(users)
    ones = torch.ones(users, dtype=torch.int64, device=device)
    draw = torch.Generator(device).manual_seed(2)
    drawn = torch.randint(
        1, n_items + 1, (users, N_CANDIDATES), generator=draw, device=device
    )  # none is what a user walks through, but by chance
    return Sequences(
        snapshot_id="made",
        sha256="",
        values="",
        n_items=n_items,
        items=flat,
        times=stamps,
        weeks=torch.ones_like(flat),
        ratings=0 * flat,
        starts=torch.arange(users + 1, device=device) * length,
        n_train=(length - 2) * ones,
        scales=60 * ones,
        candidates={"valid": drawn, "test": drawn},
        query_times=stamps,
        comes_again=True,
    )


def settings(asked: argparse.Namespace, **more: Any) -> Config:
    """Of a SASRec."""
    own = {"item_width": asked.width, "max_length": asked.length, "dropout": 0.1}
    own |= {"batch_size": asked.batch, "learning_rate": asked.rate, "patience": 1000}
    return resolve("sasrec", "paper", own | more)


def sampled(asked: argparse.Namespace, n_items: int, users: int, device: torch.device) -> Trainer:
    """A training with a sampled softmax."""
    config = settings(asked, loss="sampled_softmax", negatives=asked.negatives)
    sequences = sequences_of(made(users, asked.length + 3, n_items, device), n_items)
    return trainer_of(config, 0, sequences, asked.engine)


def train_many(asked: argparse.Namespace, device: torch.device) -> Any:
    """Steps for so many seconds, and the validation loss on the way."""
    trainer, reset = sampled(asked, asked.items, asked.users, device), forgets(device)
    curve, steps, spent = [(0, round(validation(trainer), 3))], 0, 0.0
    take(trainer, 5)  # what is reserved once
    reset()
    while spent < asked.seconds:
        (took,) = seconds(partial(take, trainer, asked.every))
        steps, spent = steps + asked.every, spent + took
        curve.append((steps + 5, round(validation(trainer), 3)))
    valid = trainer.ranked("valid", ("uniform_100",)).ranks["uniform_100"] if asked.rank else None
    return {
        "items": asked.items,
        "users": asked.users,
        "validation_loss": curve,
        "valid_hit_10": None if valid is None else float((valid <= 10).double().mean()),
        "step_ms": spent / steps * 1000,
        "memory_gb": memory(device),
        **communication(partial(take, trainer, 1), device),
    }


def measure_memory(asked: argparse.Namespace, device: torch.device) -> Any:
    """Of this rank, by the number of items."""
    found: dict[int, Any] = {}
    for n_items in asked.counts:
        forgets(device)()
        trainer = sampled(asked, n_items, 8 * asked.batch, device)
        take(trainer, 5)
        took = sorted(seconds(partial(take, trainer, 1), 15))[7]
        found[n_items] = {"memory_gb": memory(device), "step_ms": took * 1000}
        if asked.rank:
            (settled,) = seconds(trainer.engine.sampled.rows.settle)  # type: ignore[attr-defined]
            found[n_items]["settle_ms"] = settled * 1000
        print(json.dumps({n_items: found[n_items]}), flush=True)
        del trainer
    return {"by_items": found}


def measure_batches(asked: argparse.Namespace, device: torch.device) -> Any:
    """A step of each batch, by engine `distributed` and, without others, by two that are alone."""
    group, n_items = Group.current, asked.items
    names = ["distributed"] if group and group.world > 1 else ["distributed", "reference", "jagged"]
    found: dict[str, Any] = {}
    for batch in asked.batches:
        for name in names if device.type == "cuda" else names[:2]:
            asked.batch = batch
            sequences = sequences_of(made(4 * batch, asked.length + 3, n_items, device), n_items)
            config = settings(asked, item_width=128, batch_size=batch)
            forgets(device)()
            trainer = trainer_of(config, 0, sequences, name)
            take(trainer, 8)
            took = sorted(seconds(partial(take, trainer, 4), 5))[2] / 4
            found[f"{name}, {batch}"] = {
                "step_ms": took * 1000,
                "memory_gb": memory(device),
                **communication(partial(take, trainer, 4), device, 4),
            }
            print(json.dumps({f"{name}, {batch}": found[f"{name}, {batch}"]}), flush=True)
            del trainer
    return {"items": n_items, "width": 128, "steps": found}


def take(trainer: Trainer, steps: int) -> None:
    """So many steps, from epoch to epoch; an engine may take all that are left of one at once."""
    progress = trainer.progress
    while steps > 0:
        if progress.step == trainer.steps:
            progress.epoch, progress.step = progress.epoch + 1, 0
        before = progress.step
        trainer.step()
        steps -= progress.step - before


@torch.no_grad()
def validation(trainer: Trainer, users: int = 512) -> float:
    """Mean loss of a full softmax, over all items, for the validation items of some users."""
    model, device = trainer.engine.encoder(), trainer.engine.weights_device
    sequences = trainer.sequences.to(device)
    rows = sequences.evaluated()[:users]
    target = sequences.items[sequences.starts[rows] + sequences.held_out(rows, "valid")]
    loss, score = 0.0, scorer(model, sequences)
    for some, scores in scored(score, sequences, rows, "valid", trainer.config.max_length):
        own = scores.gather(1, target[some][:, None])[:, 0]
        loss += float((scores[:, 1:].logsumexp(1) - own).sum())
    return loss / len(rows)


def write(asked: argparse.Namespace, _: torch.device) -> Any:
    """Leave a sequences file."""
    items = made(asked.users, asked.length + 3, asked.items, torch.device("cpu"))
    ours = sequences_of(items, asked.items)
    lists = {
        "item_ids": items.tolist(),
        "timestamps": (1_000_000 + ours.times.view_as(items)).tolist(),
        "weeks": ours.weeks.view_as(items).tolist(),
        "ratings": ours.ratings.view_as(items).tolist(),
        "valid_candidates": ours.candidates["valid"].tolist(),
        "test_candidates": ours.candidates["test"].tolist(),
    }
    numbers = {"user_id": range(1, asked.users + 1), "n_train": ours.n_train.tolist()}
    columns = lists | numbers | {"time_scale": ours.scales.tolist()}
    table = pa.table([pa.array(columns[f.name], f.type) for f in SCHEMA], SCHEMA)
    said = {"snapshot_id": "made", "n_items": str(asked.items), "repeats": "all"}
    pq.write_table(table.replace_schema_metadata(said), asked.file)
    sha256 = hashlib.sha256(asked.file.read_bytes()).hexdigest()
    Path(f"{asked.file}.sha256").write_text(f"{sha256}  {asked.file.name}\n", encoding="utf-8")
    return {"file": str(asked.file)}


def forgets(device: torch.device) -> Callable[[], None]:
    """What begins to measure memory anew."""

    def forget() -> None:
        gc.collect()  # trainings that are over
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    return forget


def memory(device: torch.device) -> float:
    """The most that this process had on its GPU, in GB."""
    return torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0


def communication(
    step: Callable[[], object], device: torch.device, steps: int = 1
) -> dict[str, float]:
    """By the profiler: milliseconds a step in NCCL, and in all kernels."""
    if device.type != "cuda":
        return {}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    times = {one.key: one.self_device_time_total / 1000 / steps for one in profile.key_averages()}
    nccl = sum(took for name, took in times.items() if "nccl" in name.lower())
    return {"nccl_ms": nccl, "kernels_ms": sum(times.values())}


WHAT = {"items": train_many, "memory": measure_memory, "batches": measure_batches, "write": write}


def main() -> None:
    """Measure on the ranks that torchrun started, or here alone; rank 0 prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=400_000)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--batches", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    parser.add_argument("--engine", default="distributed", help="reference, or distributed")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--negatives", type=int, default=8192)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--every", type=int, default=50, help="steps between validations")
    parser.add_argument("--rank", action="store_true", help="measure ends of epochs as well")
    parser.add_argument("--file", type=Path, default=Path("many-items.parquet"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    prepare(None)
    device = torch.device(asked.device)
    group = meet(device) if "RANK" in os.environ else None
    if group and group.rank:
        follow(group, device)
    else:
        found = WHAT[asked.what](asked, device)
        sizes = {name: getattr(asked, name) for name in ("width", "length", "batch", "negatives")}
        about = {"what": asked.what, "ranks": group.world if group else 1, **facts(asked.device)}
        print(json.dumps(about | sizes | found), flush=True)
    leave()


if __name__ == "__main__":
    main()
