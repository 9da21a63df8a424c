"""The plain trainer with its steps captured: the same epochs, validations and checkpoints."""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import generator
from fpt_model.data.sequences import Sequences, Windows
from fpt_model.data.training_windows import random_ends
from fpt_model.engines.jagged.engine import Engine
from fpt_model.engines.jagged.plan import Histories, Plan
from fpt_model.evaluation.ranks import Scorer
from fpt_model.files.checkpoints import State
from fpt_model.training.trainer import Trainer, under

_KEYS, _WINDOWS = 4, 5  # purposes of draws, beside those of the plain trainer


class GraphedTrainer(Trainer):
    """A model on its way, by an `Engine`.

    Args:
        config: settings; see `fpt_model.engines.jagged.engine.fits`.
        seed: of everything random.
        sequences: on the device.

    Raises:
        ModelError: nobody has two interactions to train on.
    """

    def __init__(self, config: Config, seed: int, sequences: Sequences) -> None:
        super().__init__(config, seed, sequences)
        key = torch.randint(2**32, (2,), generator=generator(seed, _KEYS, 0))
        self.engine = Engine(self.model, key, self.sequences, self.groups, self.loss_sum)
        self.histories = Histories(self.sequences)
        self.users, self.ends = self.rows.cpu(), self.last.cpu()
        self.planned = -1  # the epoch whose steps the engine knows

    def step(self) -> None:
        """One step of the current epoch; the GPU may do it later."""
        progress = self.progress
        if progress.step == 0:
            self._begin_epoch()
        if self.planned != progress.epoch:
            self.engine.start_epoch(self._plan(), progress.step, self._steps_before())
            self.planned = progress.epoch
        self.engine.run(progress.step)
        progress.step += 1

    def _plan(self) -> Plan:
        config, order = self.config, self.order_of(self.progress.epoch)
        ends = self.ends
        if config.windows == "random":
            draw = generator(self.seed, _WINDOWS, self.progress.epoch)
            chance = torch.rand(ends.shape, dtype=torch.float64, generator=draw)
            ends = random_ends(ends, config.max_length, chance)
        return self.histories.plan(
            self.users[order], ends[order], config.max_length, config.batch_size
        )

    def _steps_before(self) -> int:
        return self.progress.epoch * self.steps + self.progress.step

    def _moments(self) -> dict[str, Tensor]:
        if not self._steps_before():
            return {}
        tensors = {}
        for name, first, second in self.engine.weights.moments_by_name():
            tensors[f"adam.step.{name}"] = torch.tensor(float(self._steps_before()))
            tensors[f"adam.exp_avg.{name}"] = first
            tensors[f"adam.exp_avg_sq.{name}"] = second
        return tensors

    def restore(self, state: State) -> None:
        """See `Trainer.restore`.

        Raises:
            ModelError: it is of another model.
        """
        self.restore_all_but_moments(state)
        first = under("adam.exp_avg.", state.tensors)
        second = under("adam.exp_avg_sq.", state.tensors)
        for name, moment, square in self.engine.weights.moments_by_name():
            if name in first:
                moment.copy_(first[name])
                square.copy_(second[name])
        self.engine.weights.round()
        self.planned = -1

    def use(self, weights: dict[str, Tensor]) -> None:
        """See `Trainer.use`."""
        super().use(weights)
        self.engine.weights.round()

    def _scorer(self) -> Scorer:
        width = self.config.item_width
        items = self.model.items.weight.detach()

        def score(windows: Windows) -> Tensor:
            return self.engine.features(windows)[:, :width] @ items.T

        return score
