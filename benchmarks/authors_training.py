"""One training of the public code: its loop said anew, in steps that a GPU replays, resumable.

What a step draws depends on seed and step alone. A state is kept every few epochs, weights and
ranks every twenty; killed at any moment, the same call goes on from the last state.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from authors_code import VARIANTS, Data, build, ranks
from harness import Row, write_json
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_embedding_loss

from fpt_model.data.negatives import NegativeSampler, generator, seed_step
from fpt_model.data.sequences import Sequences
from fpt_model.engines.capturing import CapturedSteps

BATCH = 128
L2, WEEK_L2, GROUP_WEIGHT, PAIRS = 5e-5, 0.1, 0.01, 100  # of its main.py
PENALISED = (
    "item_emb", "abs_pos_K_emb", "abs_pos_V_emb", "time_matrix_K_emb", "time_matrix_V_emb",
)  # fmt: skip
KEPT = 20  # epochs between weights that are kept
STATES = 5  # epochs between states


class Training:
    """A variant with a seed.

    Args:
        reference: the checkout.
        variant: key of `VARIANTS`.
        seed: of all that is random.
        data, sequences: on the device.
    """

    def __init__(
        self, reference: Path, variant: str, seed: int, data: Data, sequences: Sequences
    ) -> None:
        self.name, self.variant, self.seed = variant, VARIANTS[variant], seed
        self.data, self.sequences = data, sequences
        self.device = sequences.items.device
        self.rows = sequences.trainable()
        self.negatives = NegativeSampler(sequences)
        seed_step(seed, -1)
        self.model = build(reference, self.variant, sequences)
        on_gpu = self.device.type == "cuda"
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=1e-3, betas=(0.9, 0.98), capturable=on_gpu
        )
        self.loss_sum = torch.zeros((), device=self.device)
        self.captured = CapturedSteps(self.step_on, self._changing) if on_gpu else None
        self.epoch, self.seconds = 0, 0.0

    @property
    def steps(self) -> int:
        """Of an epoch: whole batches alone, as its main.py counts them."""
        return self.sequences.n_users // BATCH

    def run_epoch(self) -> float:
        """Its mean loss."""
        self.model.train()
        self.loss_sum.zero_()
        drawn = generator(self.seed, 0, self.epoch)
        places = torch.randint(len(self.rows), (self.steps, BATCH), generator=drawn)
        for step, users in enumerate(places.to(self.device)):
            work: Callable[[Tensor], object] = self.step_on
            if self.captured:
                work = self.captured.of(users, print)
            seed_step(self.seed, self.epoch * self.steps + step)
            work(users)
        self.epoch += 1
        return float(self.loss_sum) / self.steps

    def step_on(self, places: Tensor) -> None:
        """Both optimiser steps of a batch of users, drawn with replacement."""
        rows, second = self.rows[places], self.variant.second
        self.optimizer.zero_grad()
        loss = self.loss(rows)
        loss.backward()
        self.optimizer.step()
        if second:
            self.optimizer.zero_grad(set_to_none=not second.endswith("zeros"))
            if second.startswith("groups"):
                self.group_loss().backward()
            self.optimizer.step()
        self.loss_sum += loss.detach()

    def loss(self, rows: Tensor) -> Tensor:
        """Mean over positions of both classes' cross-entropy, and its penalties."""
        users, windows, targets = rows + 1, self.data.train.select(rows), self.data.targets[rows]
        others = self.negatives.draw(users, tuple(targets.shape))
        real = targets != 0
        weeks = (windows.weeks,) if hasattr(self.model, "week_emb") else ()
        wins, losses = self.model(
            users, windows.items, windows.intervals(), targets, others * real, *weeks
        )
        share = real / real.sum()
        loss = binary_cross_entropy_with_logits(wins, torch.ones_like(wins), share, reduction="sum")
        loss = loss + binary_cross_entropy_with_logits(
            losses, torch.zeros_like(losses), share, reduction="sum"
        )
        for name in PENALISED:
            loss = loss + L2 * torch.norm(getattr(self.model, name).weight)
        if weeks and self.variant.weeks:
            loss = loss + WEEK_L2 * torch.norm(self.model.week_emb.weight)
        return loss

    def group_loss(self) -> Tensor:
        """Of random pairs; each side is a random order of users, cut off."""
        vectors, groups = self.model.user_emb.weight, self.data.groups
        n_users = self.sequences.n_users
        one, other = torch.rand(2, n_users, device=self.device).topk(PAIRS).indices
        same = (groups[one] == groups[other]) * 2.0 - 1
        loss = cosine_embedding_loss(vectors[one], vectors[other], same, reduction="sum")
        return GROUP_WEIGHT * loss

    def _changing(self) -> list[Tensor]:
        """See `CapturedSteps`; what never gets a gradient has no moments."""
        for parameter in self._moved():
            moments = self.optimizer.state[parameter]
            if not moments:
                moments["step"] = torch.zeros((), device=self.device)
                moments["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
                moments["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
        moments = [value for own in self.optimizer.state.values() for value in own.values()]
        return [*(value.detach() for value in self.model.parameters()), *moments, self.loss_sum]

    def _moved(self) -> list[Tensor]:
        named = self.model.named_parameters()
        return [x for name, x in named if x.requires_grad and not name.startswith("week_linear")]

    def state(self) -> dict[str, Any]:
        """All that goes on from here to the same weights."""
        moments = [dict(self.optimizer.state[parameter]) for parameter in self._moved()]
        facts = {"epoch": self.epoch, "seconds": self.seconds}
        return facts | {"model": self.model.state_dict(), "adam": moments}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; tensors keep their places."""
        self.model.load_state_dict(state["model"])
        self._changing()
        for parameter, moments in zip(self._moved(), state["adam"], strict=True):
            for name, value in moments.items():
                own = self.optimizer.state[parameter][name]
                own.copy_(value)
        self.epoch, self.seconds = state["epoch"], state["seconds"]

    def kept(self) -> dict[str, Tensor]:
        """Twice the ranks of both splits, which are whole and at most 202."""
        return {
            split: (ranks(self.model, self.variant, self.data, self.sequences, split) * 2)
            .to(torch.uint8)
            .cpu()
            for split in ("valid", "test")
        }


def train(training: Training, folder: Path, epochs: int, until: float) -> bool:
    """Train it on, in its folder, to the last epoch or till a time; whether it is finished.

    Args:
        training: new.
        folder: with its states, weights and ranks.
        epochs: in all.
        until: seconds of `time.time`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "state.pt").exists():
        training.restore(torch.load(folder / "state.pt", map_location=training.device))
    began, before = time.monotonic(), training.seconds
    while training.epoch < epochs:
        loss = training.run_epoch()
        training.seconds = before + time.monotonic() - began
        over = time.time() > until
        if training.epoch % KEPT == 0:
            put(training.model.state_dict(), folder / f"weights-{training.epoch}.pt")
            put(training.kept(), folder / f"ranks-{training.epoch}.pt")
        if training.epoch % STATES == 0 or over or training.epoch == epochs:
            put(training.state(), folder / "state.pt")
        with (folder / "epochs.jsonl").open("a") as log:
            print(json.dumps({"epoch": training.epoch, "loss": loss}), file=log)
        if over and training.epoch < epochs:
            return False
    write_json(folder / "run.json", record(training))
    return True


def put(value: Any, path: Path) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(value, part)
    part.replace(path)


def record(training: Training) -> Row:
    """What a finished training says of itself."""
    cuda = training.device.type == "cuda"
    return {
        "variant": training.name,
        "seed": training.seed,
        "epochs": training.epoch,
        "steps": training.epoch * training.steps,
        "seconds": round(training.seconds, 1),
        "captured": bool(training.captured and not training.captured.failed),
        "sequences": training.sequences.values,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "torch": torch.__version__,
    }
