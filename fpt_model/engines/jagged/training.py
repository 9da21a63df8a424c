"""One training by the kernels on tokens without padding."""

from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Split
from fpt_model.data.training_windows import random_ends
from fpt_model.engines import contract
from fpt_model.engines.contract import Moments
from fpt_model.engines.jagged.engine import Engine
from fpt_model.engines.jagged.plan import Histories, Plan
from fpt_model.engines.schedule import learning_rates
from fpt_model.engines.shared import Training
from fpt_model.evaluation.ranks import Protocol, Ranks, rank


class JaggedEngine(contract.Engine):
    """A step is a graph; the model's parameters are views of the weights that it changes."""

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        key, groups, losses = training.key(), training.groups, training.loss_sum
        rates = learning_rates(self.config, training.steps)
        self.kernels = Engine(self.model, key, self.sequences, groups, losses, rates)
        self.histories = Histories(self.sequences)
        self.users, self.ends = training.rows.cpu(), training.last.cpu()
        self.planned = -1  # the epoch whose steps the kernels know

    def train(self) -> None:
        """See `Engine`: one step; the GPU may do it later."""
        training, progress = self.training, self.training.progress
        if progress.step == 0:
            self.start_epoch()
        if self.planned != progress.epoch:
            self.kernels.teach(training.targets())
            self.kernels.start_epoch(self._plan(), progress.step, training.steps_before)
            self.planned = progress.epoch
        self.kernels.run(progress.step)
        progress.step += 1

    def _plan(self) -> Plan:
        training, config, ends = self.training, self.config, self.ends
        order = training.epoch_permutation(training.progress.epoch)
        if config.windows == "random":
            ends = random_ends(ends, config.max_length, training.window_draws())
        users, ends = self.users[order], ends[order]
        return self.histories.plan(users, ends, config.max_length, config.batch_size)

    def moments(self) -> Moments:
        """See `Engine`."""
        weights = self.kernels.weights
        return weights.moments(weights.exp_avg, weights.exp_avg_sq, self.training.steps_before)

    def restore(self, moments: Moments) -> None:
        """See `Engine`."""
        weights = self.kernels.weights
        weights.restore_moments(weights.exp_avg, weights.exp_avg_sq, moments)
        self.planned = -1

    def load(self, weights: dict[str, Tensor], source: str = "The weights") -> None:
        """See `Engine`."""
        super().load(weights, source)
        self.kernels.weights.refresh_fp16()

    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `Engine`."""
        width, items = self.config.item_width, self.model.items.weight.detach()

        def score(windows: SequenceBatch) -> Tensor:
            return self.kernels.features(windows)[:, :width] @ items.T

        return rank(score, self.sequences, split, self.config.max_length, protocols)
