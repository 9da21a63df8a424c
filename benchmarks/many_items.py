"""Ten million items on one GPU and on several, and what a step's gradients cost between GPUs.

    torchrun --standalone --nproc-per-node 2 benchmarks/many_items.py items --seconds 40
    torchrun --standalone --nproc-per-node 2 benchmarks/many_items.py memory
    torchrun --standalone --nproc-per-node 2 benchmarks/many_items.py batches

`items` trains a SASRec on made histories, its items cut by row over the ranks, by a sampled softmax
with logQ correction, and measures the loss of a full softmax on histories that it never sees.
`memory` does five steps at each number of items. `batches` measures a step of the engine
`distributed`, and on one GPU that of `reference`. Without torchrun it is one process. Prints JSON.

Made histories: items lie in groups of 100, of which some are asked for far more than others; a user
walks forward through one group, mostly by one item.

Letters: B users of all ranks, b of this one, T sequence, D width, I items, K negatives.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fpt_model.config import Config, resolve
from fpt_model.data.negatives import generator
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.engines.choose import device_name, engines_of
from fpt_model.engines.contract import Engine
from fpt_model.engines.distributed.follow import follow
from fpt_model.engines.distributed.group import Group, leave, meet
from fpt_model.engines.distributed.table import Rows, sampled_softmax
from fpt_model.engines.shared import Training
from fpt_model.model.encoder import Encoder

GROUP = 100  # items
HELD_OUT = -1  # a step that is never trained on
_STEP, _NEGATIVES, _DROPOUT = 201, 202, 203


def made(seed: int, step: int, users: int, length: int, n_items: int, device: Any) -> Tensor:
    """(B, T + 1) items of users, the same for the same seed and step."""
    draw = torch.Generator(device).manual_seed(generator(seed, _STEP, step + 1).initial_seed())
    groups = n_items // GROUP
    chance = torch.rand(users, 1, generator=draw, device=device, dtype=torch.float64)
    group = (groups * chance**3).long().clamp(max=groups - 1)
    moves = torch.rand(users, length + 1, generator=draw, device=device)
    steps = torch.where(moves < 0.8, 1, torch.where(moves < 0.9, 2, 3))
    first = torch.randint(GROUP, (users, 1), generator=draw, device=device)
    return 1 + group * GROUP + (first + steps.cumsum(1)) % GROUP


def windows_of(items: Tensor) -> SequenceBatch:
    """Of items (B, T), without times and users."""
    none, ones = torch.zeros_like(items), torch.ones_like(items[:, 0])
    return SequenceBatch(items, none, none, none, 0 * ones, ones, none, items.shape[1] * ones)


class Features(nn.Module):
    """The encoder, its items given: what DDP averages has no items in it."""

    def __init__(self, config: Config, device: torch.device) -> None:
        super().__init__()
        self.model = Encoder(config, 1, 1, torch.zeros(0, dtype=torch.int64)).to(device)
        self.model.items.weight.requires_grad_(False)

    def forward(self, windows: SequenceBatch, items: Tensor) -> Tensor:
        """(B, T, D) of windows whose items are rows of (U + 1, D), the first for padding."""
        found: Tensor = torch.func.functional_call(self.model, {"items.weight": items}, (windows,))
        return found


class Many:
    """A training on made histories; every rank has one.

    Args:
        asked: see `main`.
        n_items: I.
        group: this process and the others; None alone.
        device: of this process.
    """

    def __init__(
        self, asked: argparse.Namespace, n_items: int, group: Group | None, device: torch.device
    ) -> None:
        self.asked, self.n_items, self.group, self.device = asked, n_items, group, device
        self.world, self.number = (group.world, group.rank) if group else (1, 0)
        self.config = resolve(
            "sasrec",
            "paper",
            {"item_width": asked.width, "max_length": asked.length, "dropout": 0.1},
        )
        torch.manual_seed(0)
        self.rows = Rows(n_items + 1, asked.width, group and group.data, device)
        self.rows.start(math.sqrt(6 / (GROUP * GROUP + asked.width)), seed=0)
        self.plain = Features(self.config, device)
        self.features: nn.Module = self.plain
        dense = [own for own in self.plain.parameters() if own.requires_grad]
        if group:
            self.features = DistributedDataParallel(self.plain, process_group=group.data)
        self.dense = torch.optim.Adam(dense, lr=1e-3, betas=(0.9, 0.98), fused=True)
        own = [self.rows.weight]
        self.sparse = torch.optim.Adam(own, lr=asked.rate, betas=(0.9, 0.98), fused=True)
        known = made(1, 0, 200_000, 99, n_items, device).flatten()
        self.known = known  # negatives: half of them as often as they are asked for
        self.counts = known.sort().values

    def negatives(self, step: int) -> tuple[Tensor, Tensor]:
        """(K,) different items, the same on each rank, and the log of K times their chance."""
        draw = torch.Generator(self.device)
        draw.manual_seed(generator(0, _NEGATIVES, step).initial_seed())
        half = self.asked.negatives // 2
        even = torch.randint(1, self.n_items + 1, (half,), generator=draw, device=self.device)
        place = torch.randint(len(self.known), (half,), generator=draw, device=self.device)
        items = torch.cat([even, self.known[place]]).unique()
        times = torch.searchsorted(self.counts, items, right=True)
        times = times - torch.searchsorted(self.counts, items)
        expected = half * (1 / self.n_items + times / len(self.known))
        return items, (-torch.expm1(-expected)).log()  # the chance to be among the draws at all

    def step(self, step: int) -> Tensor:
        """One step of all ranks; returns this one's loss."""
        users = self.asked.batch // self.world
        items = made(0, step, self.asked.batch, self.asked.length, self.n_items, self.device)
        items = items[self.number * users : (self.number + 1) * users]
        negatives, log_chance = self.negatives(step)
        ids, places = torch.cat([items.flatten(), negatives]).unique(return_inverse=True)
        torch.manual_seed(generator(self.number, _DROPOUT, step).initial_seed())
        with torch.autocast(self.device.type, torch.bfloat16):
            vectors = self.rows(ids)
            own = places[: items.numel()].view_as(items)
            padded = torch.cat([vectors.new_zeros(1, vectors.shape[1]), vectors])
            features = self.features(windows_of(own[:, :-1] + 1), padded).flatten(0, 1)
            targets, others = own[:, 1:].flatten(), places[items.numel() :]
            losses = sampled_softmax(features, vectors, targets, others, log_chance)
        loss = losses.float().mean()
        self.dense.zero_grad()
        self.sparse.zero_grad()
        loss.backward()
        for own in self.rows.parameters():
            own.grad = None if own.grad is None else own.grad.div_(self.world)
        self.sparse.step()
        self.dense.step()
        return loss.detach()

    def steps(self, first: int, count: int) -> None:
        """So many from one on."""
        for step in range(first, first + count):
            self.step(step)

    @torch.no_grad()
    def validation(self, users: int = 1024) -> float:
        """Loss of a full softmax over all items at the last place of unseen histories."""
        self.features.eval()
        items = made(0, HELD_OUT, users, self.asked.length, self.n_items, self.device)
        ids, places = items.flatten().unique(return_inverse=True)
        vectors, own = self.rows(ids), places.view_as(items)
        padded = torch.cat([vectors.new_zeros(1, vectors.shape[1]), vectors])
        features = self.plain(windows_of(own[:, :-1] + 1), padded)[:, -1]
        scores = (features * vectors[own[:, -1]]).sum(1)
        self.features.train()
        return float((self.rows.log_sums(features) - scores).mean())


def train_many(asked: argparse.Namespace, group: Group | None, device: torch.device) -> Any:
    """Steps for so many seconds, and the validation loss on the way."""
    many = Many(asked, asked.items, group, device)
    curve, step, spent = [(0, round(many.validation(), 3))], 0, 0.0
    many.steps(0, 5)  # what is reserved once
    step += 5
    while spent < asked.seconds:
        took = timed(partial(many.steps, step, asked.every), device)
        step, spent = step + asked.every, agreed(spent + took, group)
        curve.append((step, round(many.validation(), 3)))
    return {
        "items": asked.items,
        "validation_loss": curve,
        "step_ms": spent / (step - 5) * 1000,
        "memory_gb": memory(device),
        **communication(partial(many.step, step), device),
    }


def measure_memory(asked: argparse.Namespace, group: Group | None, device: torch.device) -> Any:
    """Of a rank, by the number of items; until memory is full."""
    found = {}
    for n_items in asked.counts:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        many = Many(asked, n_items, group, device)
        many.steps(0, 3)
        took = timed(partial(many.steps, 3, 5), device)
        found[n_items] = {"memory_gb": memory(device), "step_ms": took / 5 * 1000}
        many = None  # type: ignore[assignment]
    return {"by_items": found}


def measure_batches(asked: argparse.Namespace, group: Group | None, device: torch.device) -> Any:
    """A step of large batches by the engine `distributed`; of rank 0, which leads."""
    if group and group.rank:
        follow(group, device)
        return None
    users, n_items, length = 4 * asked.batch, 100_000, asked.length
    settings = {"item_width": 128, "max_length": length, "batch_size": asked.batch}
    config = resolve("sasrec", "paper", settings)
    items = made(0, 0, users, length + 1, n_items, device)
    sequences = _sequences(items, n_items)
    found = {}
    for name in ("distributed",) if group else ("reference", "distributed"):
        (engine,) = engines_of(name, [Training(config, 0, sequences)])

        _trained(engine, 5)
        took = timed(partial(_trained, engine, asked.every), device)
        found[name] = {
            "step_ms": took / asked.every * 1000,
            "loss": float(engine.training.loss_sum) / max(engine.training.progress.step, 1),
            **communication(partial(_trained, engine, 1), device),
        }
    return {"items": n_items, "width": 128, "steps": found}


def _trained(engine: Engine, steps: int) -> None:
    progress = engine.training.progress
    for _ in range(steps):
        if progress.step == engine.training.steps:
            progress.epoch, progress.step = progress.epoch + 1, 0
        engine.train()


def _sequences(items: Tensor, n_items: int) -> Sequences:
    users, length = items.shape
    flat = items.flatten()
    stamps = torch.arange(length, device=flat.device).repeat(users)
    ones = torch.ones(users, dtype=torch.int64, device=flat.device)
    starts = torch.arange(users + 1, device=flat.device) * length
    return Sequences(
        snapshot_id="made",
        sha256="",
        values="",
        n_items=n_items,
        items=flat,
        times=stamps,
        weeks=stamps % 52 + 1,
        ratings=0 * flat,
        starts=starts,
        n_train=(length - 2) * ones,
        scales=ones,
        candidates={},
        query_times=stamps,
        comes_again=True,
    )


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that it takes."""
    waited(device)
    began = time.perf_counter()
    work()
    waited(device)
    return time.perf_counter() - began


def waited(device: torch.device) -> None:
    """For the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def agreed(seconds: float, group: Group | None) -> float:
    """The leader's clock, so that all ranks end together."""
    return float(group.share_object(seconds)) if group else seconds


def memory(device: torch.device) -> float:
    """The most that this process had, in GB."""
    return torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0


def communication(step: Callable[[], object], device: torch.device) -> dict[str, float]:
    """By the profiler, of three steps: milliseconds a step in NCCL, and in all kernels."""
    if device.type != "cuda":
        for _ in range(3):
            step()
        return {}
    kinds = [torch.profiler.ProfilerActivity.CUDA]
    waited(device)
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(3):
            step()
        waited(device)
    times = {event.key: event.self_device_time_total / 3000 for event in profile.key_averages()}
    nccl = sum(took for name, took in times.items() if "nccl" in name.lower())
    return {"nccl_ms": nccl, "kernels_ms": sum(times.values())}


WHAT = {"items": train_many, "memory": measure_memory, "batches": measure_batches}


def main() -> None:
    """Measure on the ranks that torchrun started, or here alone; rank 0 prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--negatives", type=int, default=8192)
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate of the items")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--every", type=int, default=50, help="steps between validations")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    group = meet(device) if "RANK" in os.environ else None
    found = WHAT[asked.what](asked, group, device)
    if found is not None and (group is None or group.rank == 0):
        facts = {"what": asked.what, "ranks": group.world if group else 1}
        sizes = {name: getattr(asked, name) for name in ("width", "length", "batch", "negatives")}
        print(json.dumps(facts | {"device": device_name(device)} | sizes | found), flush=True)
    if group and asked.what == "batches":
        leave()
    elif group:
        dist.barrier(group.told)
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
