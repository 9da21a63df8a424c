"""Our models with every optimiser step taken twice, the second time without a gradient.

    python benchmarks/second_step.py --data S --output F --seeds 5

Where gradients are zeros, a second step of Adam moves every weight once more by its momentum, as
the paper's code did with PyTorch before 2.0. The product has no such setting. Preset `paper`, ranks
after every 20 epochs, in the folders that `authors.py` writes for the public code. Once a step:
the engine multiseed, all seeds side by side; twice: the reference engine.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from authors_training import KEPT, put
from harness import write_json
from torch import Tensor

from fpt_model.config import Config, resolve
from fpt_model.data.sequences import Sequences, load
from fpt_model.engines.reference import Reference
from fpt_model.engines.shared import Training
from fpt_model.training.trainer import Trainer, trainers_of

MODELS = ("tisasrec", "tisasrec_plus_plus", "sas_fpt")


class TwoSteps(Reference):
    """The reference engine with a second, empty step after each."""

    def step_on(self, users: Tensor) -> None:
        """See `ModuleEngine`."""
        super().step_on(users)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        self.optimizer.step()


def settings(model: str, epochs: int) -> Config:
    """Those of preset `paper`, to the last epoch."""
    return resolve(model, "paper", {"epochs": epochs, "validate_every": KEPT, "patience": epochs})


def train(trainers: Sequence[Trainer], folders: Sequence[Path], twice: bool) -> None:
    """All epochs of trainers that may share their launches; a folder each."""
    config, steps = trainers[0].config, trainers[0].steps
    for epoch in range(1, config.epochs + 1):
        for trainer in trainers:
            while trainer.progress.step < steps:
                trainer.step()
        for trainer in trainers:
            trainer.end_epoch()
        if epoch % KEPT == 0:
            for trainer, folder in zip(trainers, folders, strict=True):
                put(kept(trainer), folder / f"ranks-{epoch}.pt")
    for trainer, folder in zip(trainers, folders, strict=True):
        losses = [one["train_loss"] for one in trainer.progress.epochs]
        facts = {"seed": trainer.seed, "steps": steps * config.epochs, "losses": losses}
        facts |= {"engine": "reference" if twice else "multiseed", "config": config.to_dict()}
        write_json(folder / "run.json", facts)


def kept(trainer: Trainer) -> dict[str, Tensor]:
    """Twice the ranks, as `authors_training.py` keeps them."""
    found = {}
    for split in ("valid", "test"):
        ranks = trainer.ranked(split, ("uniform_100",)).ranks["uniform_100"]
        found[split] = (ranks * 2).to(torch.uint8).cpu()
    return found


def twice_trainers(config: Config, seeds: Sequence[int], sequences: Sequences) -> list[Trainer]:
    trainings = [Training(config, seed, sequences) for seed in seeds]
    return [Trainer(training, TwoSteps(training)) for training in trainings]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="sequences file")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--twice", action="store_true", help="not those of one step")
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sequences, seeds = load(asked.data).to(torch.device(asked.device)), range(asked.seeds)
    once = "multiseed" if asked.device == "cuda" else "reference"
    for model in () if asked.twice else asked.models:
        config = settings(model, asked.epochs)
        folders = [asked.output / "runs" / f"ours-{model}-{seed}" for seed in seeds]
        run(trainers_of(config, seeds, sequences, once), folders, twice=False)
    for seed in seeds:
        for model in asked.models:
            config = settings(model, asked.epochs)
            folder = asked.output / "runs" / f"ours-{model}-second-{seed}"
            run(twice_trainers(config, [seed], sequences), [folder], twice=True)


def run(trainers: Sequence[Trainer], folders: Sequence[Path], twice: bool) -> None:
    """What is not finished; short, so it begins anew."""
    if all((folder / "run.json").exists() for folder in folders):
        return
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    train(trainers, folders, twice)
    print(f"{folders[-1].name} is done", flush=True)


if __name__ == "__main__":
    main()
