"""One training by the kernels on tokens without padding."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Split
from fpt_model.data.training_windows import random_ends
from fpt_model.engines import contract
from fpt_model.engines.contract import Moments
from fpt_model.engines.gpu.ranks import compare as compare_by_kernel
from fpt_model.engines.jagged.engine import Engine
from fpt_model.engines.jagged.plan import Histories, Plan, Source
from fpt_model.engines.jagged.ranking import (
    IN_A_GRAPH,
    Windows,
    longest_batch,
    scores_of,
    windows_of,
)
from fpt_model.engines.jagged.state import round_up_tokens
from fpt_model.engines.schedule import learning_rates
from fpt_model.engines.shared import Training
from fpt_model.evaluation.ranks import Protocol, Ranks, compare, evaluated, joined, rank


class JaggedEngine(contract.Engine):
    """A step is a graph; the model's parameters are views of the weights that it changes.

    Most launches of a step leave some of a GPU idle, so trainings beside each other have a stream
    each. PyTorch has 32 streams in turn: engines that are built one after the other, with those
    of `SideStreams`, share none.
    """

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        key, groups, losses = training.key(), training.groups, training.loss_sum
        rates = learning_rates(self.config, training.steps)
        self.kernels = Engine(self.model, key, self.sequences, groups, losses, rates)
        self.histories = Histories(self.sequences)
        self.users, self.ends = training.rows.cpu(), training.last.cpu()
        self.planned = -1  # the epoch whose steps the kernels know
        self.windows: dict[Split, Windows] = {}  # of splits that were ranked
        self.stream: torch.cuda.Stream | None = None
        if self.kernels.device.type == "cuda":
            self.stream = torch.cuda.Stream()
            self.stream.wait_stream(torch.cuda.current_stream())

    def on_own_stream(self) -> AbstractContextManager[object]:
        """See `Engine`."""
        return torch.cuda.stream(self.stream) if self.stream else nullcontext()

    def wait(self) -> None:
        """See `Engine`."""
        if self.stream:
            self.stream.synchronize()

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
        items = self.model.items.weight.detach()
        windows = self._windows(split)
        if windows is None:
            return self._rank_apart(split, protocols, items)
        self.kernels.fill_features(windows)
        scores = scores_of(windows, self.sequences, items)
        if split == "test":  # with lists of the first items
            rows = windows.rows.split([len(some.users) for some in windows.candidates])
            return compare(zip(rows, scores, strict=True), self.sequences, split, protocols)
        pairs = zip(windows.candidates, scores, strict=True)
        return joined([compare_by_kernel(*pair, protocols) for pair in pairs])

    def _windows(self, split: Split) -> Windows | None:
        """All that a split ranks; None where it is too much to be kept, or lies elsewhere."""
        sequences = self.sequences
        all_there = isinstance(self.kernels.source, Source)
        if not all_there or len(evaluated(sequences)) > IN_A_GRAPH:
            return None
        if split not in self.windows:
            n = round_up_tokens(longest_batch(self.histories, sequences, self.config))
            room = n, self.kernels.room_to_rank(n)
            self.windows[split] = windows_of(self.histories, sequences, split, self.config, *room)
        return self.windows[split]

    def _rank_apart(self, split: Split, protocols: tuple[Protocol, ...], items: Tensor) -> Ranks:
        """Windows of some users after the others, made for the ranking alone."""

        def score(windows: SequenceBatch) -> Tensor:
            return self.kernels.features(windows)[:, : items.shape[1]] @ items.T

        return rank(score, self.sequences, split, self.config.max_length, protocols)
