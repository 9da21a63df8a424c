"""Trainings whose epoch is chosen on the test split, as the papers' code does, to measure what that
gives away. For benchmarks/sensitivity.py alone: the product has no such choice.

    python benchmarks/choose_on_test.py --jobs sens/jobs-on-test.json --device cuda

Each training is the one of the correct form, to the bit: reading the test split draws nothing. At
each validation the test split is ranked too among 100 sampled items, and `ranks.parquet` in its
folder holds the ranks of the epoch that was best there. `chosen.json` says both epochs. What is
there already is not done again.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch
from harness import write_json
from timing import as_our_command

from fpt_model.data.sequences import load
from fpt_model.engines.choose import device_of, engine_of
from fpt_model.evaluation.metrics import ndcg
from fpt_model.evaluation.ranks import Ranks
from fpt_model.files.written import write_table
from fpt_model.training.jobs import Job, read_jobs
from fpt_model.training.trainer import Trainer, trainers_of

JOBS = "jobs-on-test.json"


class Watched:
    """A training, and the best test ranks that it has had."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self.trainer, self.folder = trainer, folder
        self.best, self.epoch = -1.0, 0
        self.ranks: Ranks | None = None

    def look(self) -> None:
        """Look at the test split."""
        ranks = self.trainer.ranked("test", ("uniform_100",))
        found = ndcg(ranks.ranks["uniform_100"], 10)
        if found > self.best:
            self.best, self.epoch, self.ranks = found, self.trainer.progress.epoch, ranks

    def write(self) -> None:
        """Write the best ranks, and which epochs test and validation would take."""
        ranks = self.ranks
        if ranks is None:
            raise ValueError(f"{self.folder.name} was never validated")
        n = len(ranks.users)
        table = pa.table(
            {
                "split": pa.array(["test"] * n),
                "protocol": pa.array(["uniform_100"] * n),
                "user_id": ranks.users.cpu().numpy(),
                "rank": ranks.ranks["uniform_100"].cpu().numpy(),
            }
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_table(self.folder / "ranks.parquet", table)
        chosen = {"on_test": self.epoch, "on_validation": self.trainer.progress.best_epoch}
        write_json(self.folder / "chosen.json", chosen | {"test_ndcg_10": self.best})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=Path, required=True)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    asked = parser.parse_args()
    missing = [one for one in read_jobs(asked.jobs) if not (one.output / "chosen.json").exists()]
    device = device_of(asked.device)
    with as_our_command():
        for config in dict.fromkeys(job.config for job in missing):
            train([job for job in missing if job.config == config], device)


def train(jobs: Sequence[Job], device: torch.device) -> None:
    """Seeds of the same settings on the same sequences."""
    config, began = jobs[0].config, time.monotonic()
    sequences = load(jobs[0].sequences).to(device)
    engine = engine_of("auto", config, device)
    folders = {job.seed: job.output for job in jobs}
    active = [
        Watched(trainer, folders[trainer.seed])
        for trainer in trainers_of(config, list(folders), sequences, engine)
    ]
    while active:
        for one in active:
            while one.trainer.progress.step < one.trainer.steps:
                one.trainer.step()
        records = [one.trainer.end_epoch() for one in active]
        # after all have validated: side by side they share the features of one split at a time
        for one, record in zip(active, records, strict=True):
            if record["valid_ndcg_10"] is not None:
                one.look()
            if one.trainer.finished:
                one.write()
                seconds = time.monotonic() - began
                print(f"{one.folder.name}: epoch {one.epoch}, {seconds:.0f} s", flush=True)
        active = [one for one in active if not one.trainer.finished]


if __name__ == "__main__":
    main()
