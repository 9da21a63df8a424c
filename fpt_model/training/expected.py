"""How long trainings will take: as those of before did, else by their size."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pyarrow.parquet as pq

from fpt_model.config import Config
from fpt_model.errors import ModelError
from fpt_model.files.finished import RECORD, read_record
from fpt_model.simple.settings import SimpleConfig
from fpt_model.training.jobs import Job

ALIKE = 0.1  # data are of one size if they differ by no more than this share
USUAL_END = 0.9  # of a training's epochs: where patience ends most of them, if nothing is known


@dataclass(frozen=True)
class Expected:
    """What a training will take.

    Attributes:
        cost: seconds where a record of such a training is there, else of that order.
        end: the share of its epochs after which it will end.
    """

    cost: float
    end: float = USUAL_END


@dataclass(frozen=True)
class _Past:
    """A finished training: its settings, how much it was trained on, how long it took."""

    settings: str
    interactions: int
    seconds: float
    end: float


def expected(jobs: Sequence[Job], device: str) -> dict[str, Expected]:
    """What each job will take, by its name.

    Args:
        jobs: to be trained; records of earlier ones stand in the folders beside theirs.
        device: what the device is called; those of others say nothing.
    """
    past = [one for folder in {job.output.parent for job in jobs} for one in _past(folder, device)]
    found = {job.name: _alike(job, past) for job in jobs}
    rates = [mean.cost / _size(job) for job in jobs if (mean := found[job.name])]
    rate = median(rates) if rates else 1.0
    return {job.name: found[job.name] or Expected(rate * _size(job)) for job in jobs}


def _past(folder: Path, device: str) -> Iterator[_Past]:
    for path in sorted(folder.glob(f"*/{RECORD}")):
        try:
            record = read_record(path.parent)
        except ModelError:
            continue
        if record["device"] == device and "interactions" in record:
            config = record["config"]
            seconds, amount = record["train_seconds"], record["interactions"]
            yield _Past(_key(config), amount, seconds, _end(config, record["best_epoch"]))


def _end(config: Mapping[str, Any], best_epoch: int) -> float:
    """The share of the epochs after which patience was over; a second training has none."""
    if "patience" not in config or config.get("refit"):
        return 1.0
    last = best_epoch + config["patience"] * config["validate_every"]
    return min(1.0, float(last / config["epochs"]))


def _alike(job: Job, past: Sequence[_Past]) -> Expected | None:
    """The mean of trainings with these settings on as much. Seeds side by side share their time
    unevenly, so one alone says little."""
    key, amount = _key(job.config.to_dict()), _amounts(job.sequences)[1]
    near = [
        one
        for one in past
        if one.settings == key and abs(one.interactions - amount) <= ALIKE * amount
    ]
    if not near:
        return None
    return Expected(fmean(one.seconds for one in near), fmean(one.end for one in near))


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


def _size(job: Job) -> float:
    """Numbers that a training reads and writes, up to a factor."""
    users, interactions = _amounts(job.sequences)
    if isinstance(job.config, SimpleConfig):
        return float(interactions + 1)
    return _numbers(job.config, users) + 1.0


def _numbers(config: Config, users: int) -> float:
    passes = config.blocks * (2 if config.intervals else 1) + (2 if config.loss == "softmax" else 0)
    trainings = 1 + config.teachers + config.refit  # one after the other
    return float(trainings * config.epochs * users * config.max_length * config.width * passes)


@cache
def _amounts(path: Path) -> tuple[int, int]:
    """Users and interactions of a sequences file, from its footer; nothing of one that can't be
    read, whose trainings will say so."""
    try:
        about = pq.read_metadata(path)
    except (OSError, ValueError):
        return 0, 0
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    columns = [group.column(at) for group in groups for at in range(group.num_columns)]
    items = [one.num_values for one in columns if one.path_in_schema.startswith("item_ids.")]
    return about.num_rows, sum(items)
