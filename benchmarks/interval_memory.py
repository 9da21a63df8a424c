"""Megabytes that attention with intervals takes, forwards and backwards: the public code and ours.

    python benchmarks/interval_memory.py --sequences S --reference DIR

One block's attention in training on a CPU (dropout .2) over 128 users' latest 200 interactions at a
width of 50: from time stamps to the gradients of queries, keys, values and tables. The reference is
given its matrices of intervals and looks their vectors up. It is the most that a process grows,
each form in one of its own.
"""

import argparse
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from reference import module
from results import Result, add_arguments, command, keep
from timing import facts

from fpt_model.config import resolve
from fpt_model.data.sequences import SequenceBatch, load
from fpt_model.engines.cpu.attention import Attention as AttentionInParts
from fpt_model.engines.cpu.attention import attention_mask
from fpt_model.engines.cpu.rng import Rng
from fpt_model.engines.cpu.threads import parallel_map, single_threaded
from fpt_model.engines.cpu.training import MicroBatch, micro_batches
from fpt_model.engines.cpu.unclipped import UnclippedPairs, unclipped_pairs
from fpt_model.model.intervals import interval_rows, scaled_intervals

SPAN, WIDTH, DROPOUT = 256, 50, 0.2
NO_EDGES = torch.empty(0, dtype=torch.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--reference", type=Path, help="its checkout")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="of our attention")
    add_arguments(parser)
    asked = parser.parse_args()
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        ours = pool.apply(megabytes, (in_parts, asked))
        theirs = pool.apply(megabytes, (their_attention, asked)) if asked.reference else None
    print(f"B = {asked.batch}, T = {asked.length}: ours {ours:.0f} MB")
    if theirs:
        print(f"reference {theirs:.0f} MB, {theirs / ours:.0f} times")
    ratio = theirs and theirs / ours
    about = {"command": command(), "reference": theirs, "ratio": ratio}
    keep(asked, Result("interval_memory", ours, "MB", **about, **facts("cpu")))


Attention = Callable[[argparse.Namespace, SequenceBatch], Callable[[], None]]


def megabytes(attention: Attention, asked: argparse.Namespace) -> float:
    """Growth from before the forward pass to the worst moment."""
    torch.manual_seed(0)
    sequences = load(asked.sequences)
    rows = sequences.n_train.argsort(descending=True)[:: sequences.n_users // asked.batch]
    rows = rows[: asked.batch]
    windows = sequences.windows(rows, sequences.n_train[rows], asked.length)
    small = SequenceBatch(*(value[:2] for value in vars(windows).values()))
    attention(asked, small)()  # libraries load at first use
    run = attention(asked, windows)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) / 2**20


def in_parts(asked: argparse.Namespace, windows: SequenceBatch) -> Callable[[], None]:
    sizes = {"max_length": asked.length, "batch_size": asked.batch, "item_width": WIDTH}
    config = resolve("tisasrec", "paper", sizes | {"dropout": DROPOUT, "time_span": SPAN})
    parts = micro_batches(windows, windows.items, windows.users, config)
    keys, values = (torch.randn(SPAN, WIDTH) for _ in range(2))

    def run_part(part: MicroBatch) -> None:
        batch, length = part.windows.items.shape
        padded = (part.windows.items == 0).sum(1)
        unclipped = UnclippedPairs(
            *unclipped_pairs(part.windows, padded, SPAN, NO_EDGES, 1, length)
        )
        mask = attention_mask(padded, length, length, 1, torch.float32)
        rng = Rng(DROPOUT, part.number)
        attention = AttentionInParts(1, mask, unclipped, keys, values, rng)
        q, k, v = (torch.randn(batch, length, WIDTH) for _ in range(3))
        attention.backward(torch.ones_like(attention.forward(q, k, v)).flatten(0, 1))

    def run() -> None:
        with single_threaded():
            parallel_map(run_part, parts, asked.threads)

    return run


def their_attention(asked: argparse.Namespace, windows: SequenceBatch) -> Callable[[], None]:
    length = asked.length
    kind = module(asked.reference / "model.py").TimeAwareMultiHeadAttention
    layer = kind(WIDTH, 1, DROPOUT, "cpu")
    intervals = scaled_intervals(windows.query_times, windows.times, windows.scales)
    rows = interval_rows(intervals, SPAN, NO_EDGES)
    tables = [torch.nn.Embedding(SPAN + 1, WIDTH) for _ in range(2)]
    shape = (len(rows), length, WIDTH)
    x, key_positions, value_positions = (torch.randn(shape, requires_grad=True) for _ in range(3))
    drop = torch.nn.Dropout(DROPOUT)
    future = ~torch.ones(length, length, dtype=torch.bool).tril()

    def run() -> None:
        keys, values = (drop(table(rows)) for table in tables)
        padded = windows.items == 0
        out = layer(x, x, padded, future, keys, values, key_positions, value_positions)
        out.backward(torch.ones_like(out))

    return run


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 2**10 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
