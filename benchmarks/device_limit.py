"""Training with histories in the machine's memory, beside the same with all of them on the GPU.

    python benchmarks/device_limit.py --sequences sequences-….parquet --limit 20MB --times 20

Both train by the jagged engine, an epoch of each in turn. `--times` has every user so many times
over. Prints the seconds of an epoch, medians, what the histories take of the GPU's memory, and
whether the weights are the same to the bit; without a GPU it is a rehearsal.
"""

import argparse
import os
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from results import Result, add_arguments, command, keep
from timing import LARGE, Trainings, as_our_command, facts, seconds
from torch import Tensor

from fpt_model.data.device_limit import NAME, placed
from fpt_model.data.sequences import HISTORIES, Sequences, load

SMALL = {"max_length": 50, "batch_size": 128, "item_width": 64, "loss": "bce"}
SETTINGS = {"T = 50, sampled": SMALL, "T = 200, all items": LARGE}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--limit", default="20MB")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    add_arguments(parser)
    asked = parser.parse_args()
    sequences = repeated(load(asked.sequences), asked.times)
    n = len(sequences.items)
    print(f"{sequences.n_users:,} users, {n:,} interactions, limit {asked.limit}")
    for number, (name, settings) in enumerate(SETTINGS.items()):
        found = measure(sequences, settings, asked)
        print(
            f"{name:20} all there {found['whole']:.3f} s, {found['whole_bytes'] / 1e6:,.0f} MB; "
            f"limited {found['parts']:.3f} s, {found['parts_bytes'] / 1e6:,.0f} MB; "
            f"{100 * (found['parts'] / found['whole'] - 1):+.1f} %; ranking "
            f"{found['whole_rank']:.2f} and {found['parts_rank']:.2f} s; "
            f"same bits: {found['same']}",
            flush=True,
        )
        ratio = found["whole"] / found["parts"]
        figures = {"reference": found["whole"], "ratio": ratio, "command": command()}
        key = f"device_limit_{('small', 'large')[number]}"
        keep(asked, Result(key, found["parts"], "s an epoch", **facts(asked.device), **figures))


def repeated(sequences: Sequences, times: int) -> Sequences:
    """Every user so many times."""
    lengths = sequences.lengths.repeat(times)
    many: dict[str, Any] = {name: getattr(sequences, name).repeat(times) for name in HISTORIES}
    many |= {name: getattr(sequences, name).repeat(times) for name in ("n_train", "scales")}
    drawn = {split: rows.repeat(times, 1) for split, rows in sequences.candidates.items()}
    starts = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    return replace(sequences, starts=starts, candidates=drawn, **many)


def measure(sequences: Sequences, settings: dict[str, Any], asked: Any) -> dict[str, Any]:
    """Seconds of an epoch and of a ranking, bytes of histories on the device, of both."""
    device, found = torch.device(asked.device), dict[str, Any]()
    made = {}
    for name, limit in (("whole", ""), ("parts", asked.limit)):
        os.environ[NAME] = limit
        there = placed(sequences, device)
        made[name] = Trainings("sas_fpt", there, settings, engine="jagged")
        found[f"{name}_bytes"] = bytes_there(made[name].members[0], there)
        made[name].seconds()  # compiles, and records graphs
    took: dict[str, list[float]] = {"whole": [], "parts": []}
    for _ in range(asked.epochs):
        for name, one in made.items():
            took[name] += one.seconds()
    found |= {name: statistics.median(values) for name, values in took.items()}
    for name, one in made.items():
        member = one.members[0]
        with as_our_command():
            found[f"{name}_rank"] = seconds(lambda m=member: m.ranked("valid", ("uniform_100",)))[0]
    whole, parts = (one.members[0].weights() for one in made.values())
    found["same"] = all(torch.equal(whole[name], parts[name]) for name in whole)
    return found


def bytes_there(member: Any, sequences: Sequences) -> int:
    """What interactions take of the device: as they were loaded, and as kernels read them."""
    kernels = member.engine.kernels
    sources = kernels.source
    read = [sources.items, sources.times, sources.query_times]
    read += [one for one in sources.numbers if one.dim() == 1]
    loaded = [getattr(member.sequences, name) for name in HISTORIES]
    loaded += [getattr(sequences, name) for name in HISTORIES]
    here = {x.data_ptr(): x for x in (*read, *loaded) if x.device == sequences.device}
    return sum(size(one) for one in here.values())


def size(one: Tensor) -> int:
    return one.numel() * one.element_size()


if __name__ == "__main__":
    main()
