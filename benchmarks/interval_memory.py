"""Megabytes that attention with intervals takes, forwards and backwards: the public code and ours.

    python benchmarks/interval_memory.py --sequences S --reference DIR --device cpu

One block's attention in training (dropout .2) over 128 users' latest 200 interactions at a width of
50: from time stamps to the gradients of queries, keys, values and tables. The reference is given
its matrices of intervals and looks their vectors up. On a GPU the most that PyTorch allocates, on
a CPU the most that the process grows, each form in a process of its own.
"""

import argparse
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from fpt_model.engines.cpu.trainer import Part, divided
from reference import module
from results import Result, command, cpu, record, versions

from fpt_model.config import Config, resolve
from fpt_model.data.sequences import Windows, load
from fpt_model.engines.choose import device_name
from fpt_model.engines.cpu.attention import Attention as AttentionInParts
from fpt_model.engines.cpu.attention import attention_mask
from fpt_model.engines.cpu.chance import Chance
from fpt_model.engines.cpu.near import Near, near_pairs
from fpt_model.engines.cpu.threads import each, undivided
from fpt_model.model.encoder import Block, Time
from fpt_model.model.intervals import interval_rows, scaled_intervals

SPAN, WIDTH, DROPOUT = 256, 50, 0.2
NO_EDGES = torch.empty(0, dtype=torch.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--reference", type=Path, help="its checkout")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="of our attention on a CPU")
    parser.add_argument("--record", action="store_true", help="write docs/results/speed.json")
    asked = parser.parse_args()
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        ours = pool.apply(megabytes, (our_attention, asked))
        theirs = pool.apply(megabytes, (their_attention, asked)) if asked.reference else None
    print(f"B = {asked.batch}, T = {asked.length}, {asked.device}: ours {ours:.0f} MB")
    if theirs:
        print(f"reference {theirs:.0f} MB, {theirs / ours:.0f} times")
    if asked.record:
        on_cpu = asked.device == "cpu"
        made = Result(
            name="interval_memory",
            ours=ours,
            reference=theirs,
            ratio=theirs and theirs / ours,
            unit="MB",
            device=cpu() if on_cpu else device_name(torch.device("cuda")),
            versions=versions("torch"),
            command=command(),
        )
        record(made)


Attention = Callable[[argparse.Namespace, Windows], Callable[[], None]]


def megabytes(attention: Attention, asked: argparse.Namespace) -> float:
    """Growth from before the forward pass to the worst moment."""
    torch.manual_seed(0)
    device = torch.device(asked.device)
    sequences = load(asked.sequences).to(device)
    rows = sequences.n_train.argsort(descending=True)[:: sequences.n_users // asked.batch]
    rows = rows[: asked.batch]
    windows = sequences.windows(rows, sequences.n_train[rows], asked.length)
    small = Windows(*(value[:2] for value in vars(windows).values()))
    attention(asked, small)()  # libraries load at first use
    run = attention(asked, windows)
    before = start_peak(device)
    run()
    return (peak(device) - before) / 2**20


def our_attention(asked: argparse.Namespace, windows: Windows) -> Callable[[], None]:
    """What trains: parts of the batch on a CPU, the encoder itself on a GPU."""
    return encoders_block(asked, windows) if asked.device == "cuda" else in_parts(asked, windows)


def encoders_block(asked: argparse.Namespace, windows: Windows) -> Callable[[], None]:
    device, length = windows.items.device, asked.length
    real = windows.items > 0
    block = Block(settings(asked)).to(device)
    x = torch.randn(len(real), length, WIDTH, device=device, requires_grad=True)
    keys, values = (
        torch.randn(SPAN + 1, WIDTH, device=device, requires_grad=True) for _ in range(2)
    )
    places = torch.zeros(length, WIDTH, device=device)
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril() & real[:, None]
    mask = (mask | torch.eye(length, dtype=torch.bool, device=device))[:, None]
    mask = torch.where(mask, 0.0, float("-inf"))

    def drop(x: torch.Tensor, _: str) -> torch.Tensor:
        return torch.nn.functional.dropout(x, DROPOUT)

    def run() -> None:
        intervals = scaled_intervals(windows.asked, windows.times, windows.scales)
        buckets = interval_rows(intervals, SPAN, NO_EDGES.to(device))[:, None]
        time = Time(buckets, drop(keys, ""), drop(values, ""), places, places)
        out = block.attend(x, x, mask, time, drop)
        out.backward(torch.ones_like(out))

    return run


def in_parts(asked: argparse.Namespace, windows: Windows) -> Callable[[], None]:
    config, nobody = settings(asked), windows.users
    parts = divided(windows, windows.items, nobody, config)
    keys, values = (torch.randn(SPAN, WIDTH) for _ in range(2))

    def run_part(part: Part) -> None:
        batch, length = part.windows.items.shape
        padded = (part.windows.items == 0).sum(1)
        near = Near(*near_pairs(part.windows, padded, SPAN, NO_EDGES, 1, length))
        mask = attention_mask(padded, length, length, 1, torch.float32)
        chance = Chance(DROPOUT, part.number)
        attention = AttentionInParts(1, mask, near, keys, values, chance)
        q, k, v = (torch.randn(batch, length, WIDTH) for _ in range(3))
        attention.back(torch.ones_like(attention.forward(q, k, v)).flatten(0, 1))

    def run() -> None:
        with undivided():
            each(run_part, parts, asked.threads)

    return run


def settings(asked: argparse.Namespace) -> Config:
    sizes = {"max_length": asked.length, "batch_size": asked.batch, "item_width": WIDTH}
    return resolve("tisasrec", "paper", sizes | {"dropout": DROPOUT, "time_span": SPAN})


def their_attention(asked: argparse.Namespace, windows: Windows) -> Callable[[], None]:
    device, length = windows.items.device, asked.length
    layer = (
        module(asked.reference / "model.py")
        .TimeAwareMultiHeadAttention(WIDTH, 1, DROPOUT, asked.device)
        .to(device)
    )
    intervals = scaled_intervals(windows.asked, windows.times, windows.scales)
    rows = interval_rows(intervals, SPAN, NO_EDGES.to(device))
    tables = [torch.nn.Embedding(SPAN + 1, WIDTH, device=device) for _ in range(2)]
    shape = (len(rows), length, WIDTH)
    x, key_places, value_places = (
        torch.randn(shape, device=device, requires_grad=True) for _ in range(3)
    )
    drop = torch.nn.Dropout(DROPOUT)
    future = ~torch.ones(length, length, dtype=torch.bool, device=device).tril()

    def run() -> None:
        keys, values = (drop(table(rows)) for table in tables)
        padded = windows.items == 0
        out = layer(x, x, padded, future, keys, values, key_places, value_places)
        out.backward(torch.ones_like(out))

    return run


def start_peak(device: torch.device) -> int:
    """Bytes now, from where the peak counts."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    return resident("VmRSS")


def peak(device: torch.device) -> int:
    """Most bytes since `start_peak`."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else resident("VmHWM")


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 2**10 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
