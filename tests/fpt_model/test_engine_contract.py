"""Every engine, over settings drawn from every switch of `Config`, held to the encoder in float64.

A step's draws are the engine's own: they are noted while it trains by PyTorch, or computed again
from their counters. With them the encoder makes the same step, and gradients, losses and weights
are compared. Kernels run by Triton's interpreter where there is no GPU.
"""

import math
import os
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

from fpt_model.config import ENGINES as ASKED_FOR
from fpt_model.config import Config
from fpt_model.data.negatives import NegativeSampler, SharedNegatives
from fpt_model.data.seen import seen_before
from fpt_model.data.sequences import SequenceBatch, Sequences, load
from fpt_model.data.training_windows import random_ends, training_windows
from fpt_model.engines import contract, module
from fpt_model.engines.choose import ENGINES, engine_of
from fpt_model.engines.contract import Engine
from fpt_model.engines.cpu import training as cpu_training
from fpt_model.engines.cpu import weights as cpu_weights
from fpt_model.engines.cpu.rng import dropout_scale
from fpt_model.errors import ModelError
from fpt_model.evaluation import ranks
from fpt_model.evaluation.ranks import PROTOCOLS, rank
from fpt_model.evaluation.scorer import scorer
from fpt_model.features import FEATURES
from fpt_model.files.checkpoints import State
from fpt_model.model.encoder import Encoder
from fpt_model.model.intervals import overflow_edges
from fpt_model.model.losses import (
    bce_loss,
    gbce_loss,
    group_loss,
    sampled_softmax_loss,
    softmax_loss,
)
from fpt_model.training.trainer import Trainer, trainers_of

if find_spec("triton"):
    from fpt_model.engines.gpu import rng
    from fpt_model.engines.gpu.layout import aligned
    from fpt_model.engines.jagged import shapes
    from fpt_model.engines.jagged import state as jagged
    from fpt_model.engines.multiseed import state as multiseed
    from fpt_model.engines.multiseed import workspace

ON_GPU = torch.cuda.is_available()
DEVICES = {name: torch.device("cuda" if ON_GPU else "cpu") for name in ENGINES}
DEVICES["cpu"] = torch.device("cpu")
KERNELS = [name for name, kind in ENGINES.items() if kind.compiles]

# Every switch, and the values that are drawn for it. Widths are even, so that two heads share them.
SWITCHES: dict[str, tuple[Any, ...]] = {
    "intervals": (True, False),
    "time_span": (3, 1, 16),
    "overflow_rows": (0, 3),
    "item_width": (6, 4, 10),
    "week_width": (0, 4),
    "user_width": (4, 0, 2),
    "rating_width": (0, 2),
    "genre_width": (0, 2),
    "gap_width": (0, 2),
    "depth_width": (0, 2),
    "block": ("attention", "hstu"),
    "blocks": (1, 2),
    "heads": (1, 2),
    "max_length": (5, 1, 20),
    "dropout": (0.3, 0.0),
    "sse_user": (0.0, 0.6),
    "sse_item": (0.0, 0.4),
    "group_weight": (0.3, 0.0),
    "group_pairs": (20, 1),
    "groups": (2, 3),
    "group_margin": (0.0, -0.5, 0.3),
    "group_refresh": (1, 2),
    "time_reference": ("last", "query"),
    "clock": ("seconds", "places", "steps"),
    "ema_decay": (0.0, 0.5),
    "mask": ("keys", "queries"),
    "windows": ("latest", "random"),
    "teacher_share": (0.0, 0.5),
    "loss": ("bce", "gbce", "softmax", "sampled_softmax"),
    "negatives": (9, 1, 30),
    "calibration": (0.75, 0.0, 1.0),
    "smoothing": (0.0, 0.1),
    "exclude_seen": (False, True),
    "batch_size": (2, 4),
    "learning_rate": (1e-3, 1e-4),
    "schedule": ("constant", "cosine", "linear"),
    "warmup": (0.0, 2.5),
    "beta1": (0.9, 0.5),
    "beta2": (0.98, 0.9),
    "l2": (0.01, 0.0),
    "weight_decay": (0.0, 0.5),
    "epochs": (4, 3),
}
EVERYTHING = {  # at once; a head is no power of two wide
    "item_width": 10,
    "overflow_rows": 3,
    "week_width": 4,
    "rating_width": 2,
    "genre_width": 2,
    "gap_width": 2,
    "depth_width": 2,
    "blocks": 2,
    "heads": 2,
    "max_length": 20,
    "sse_user": 0.6,
    "sse_item": 0.4,
    "time_reference": "query",
    "windows": "random",
    "teacher_share": 0.5,
    "loss": "softmax",
    "exclude_seen": True,
    "smoothing": 0.1,
    "schedule": "cosine",
    "warmup": 2.5,
    "weight_decay": 0.5,
}
IRRELEVANT = {
    "model": "a name of settings, which are drawn one by one",
    "preset": "likewise",
    "validate_every": "the trainer's: engines are asked for one step after the other",
    "patience": "the trainer's",
    "teachers": "trainings of their own, before; what they draw is given here",
    "refit": "two trainings, one after the other, on other sequences",
}
# What an engine refuses to have otherwise; `test_an_engine_covers_all_but_what_is_fixed_here`.
OWN_PASSES = {"mask": ("keys",), "block": ("attention",), "loss": ("bce", "softmax")}
FIXED: dict[str, dict[str, tuple[Any, ...]]] = {
    "cpu": OWN_PASSES,
    "jagged": OWN_PASSES,
    "multiseed": OWN_PASSES | {"heads": (1,), "loss": ("bce",), "teacher_share": (0.0,)},
    "distributed": {"teacher_share": (0.0,)},
}
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(name in KERNELS and not find_spec("triton"), reason="no Triton"),
    )
    for name in ENGINES
]
BOOK = "validate_every", "patience"


def configs(name: str) -> st.SearchStrategy[Config]:
    """Settings that an engine trains."""
    able = SWITCHES | FIXED.get(name, {})
    drawn = {switch: st.sampled_from(values) for switch, values in able.items()}
    book = dict.fromkeys(BOOK, 99)
    return st.fixed_dictionaries(drawn).map(lambda own: Config("drawn", "drawn", **own, **book))


def usual(name: str, **changes: Any) -> Config:
    """The first value of each switch, some of them changed."""
    own = {switch: values[0] for switch, values in (SWITCHES | FIXED.get(name, {})).items()}
    own |= changes
    return Config("drawn", "drawn", **own, **dict.fromkeys(BOOK, 99))


def everything(name: str) -> Config:
    """All that an engine has, at once."""
    fixed = FIXED.get(name, {})
    return usual(name, **{k: v for k, v in EVERYTHING.items() if v in fixed.get(k, (v,))})


def profile(n_examples: int) -> Callable:
    """Always the same examples."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=n_examples, deadline=None, derandomize=True, suppress_health_check=checks
    )


FORWARD = Encoder.forward


class Pass(NamedTuple):
    """A part of a step's users on their way through the encoder.

    Attributes:
        rows: (b,) their places in the step.
        items, users: ids, some of them replaced: (b, t) of the latest t positions, and (b,).
        dropout: see `fpt_model.model.encoder.Dropout`.
    """

    rows: Tensor
    items: Tensor
    users: Tensor
    dropout: Callable[[Tensor, str], Tensor]


class Drawn(NamedTuple):
    """What an engine drew for a step: passes, negatives (B, T) or (B, T, K), pairs of users (2, P),
    and items (K,) that stand for all, each with the logarithm of how often it is expected."""

    passes: list[Pass]
    negatives: Tensor | None
    pairs: Tensor | None
    shared: tuple[Tensor, Tensor] | None = None


class Noted:
    """Draws of an engine that trains by PyTorch, noted while it does.

    Args:
        engine: of the training.
        patch: undone at the end.
    """

    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch) -> None:
        self.engine, self.encoder_passes = engine, 0
        self.passes: list[Pass] = []
        self.negatives: list[tuple[Tensor, Tensor]] = []
        self.own_ends: list[Tensor] = []
        self.pairs: list[Tensor] = []
        self.shared: list[tuple[Tensor, Tensor]] = []
        self._note(patch)

    def _note(self, patch: pytest.MonkeyPatch) -> None:
        draw, ends, loss = NegativeSampler.draw, module.random_ends, module.group_loss
        share = SharedNegatives.draw

        def note_shared(*words):
            self.shared.append(share(*words))
            return self.shared[-1]

        def note_draw(sampler, users, shape, *chance):
            found = draw(sampler, users, shape, *chance)
            self.negatives.append((users, found))
            return found

        def note_ends(*words):
            self.own_ends.append(ends(*words))
            return self.own_ends[-1]

        def note_pairs(users, first, second, *words):
            self.pairs.append(torch.stack([first, second]))
            return loss(users, first, second, *words)

        def note_pass(model, windows, *words, dropout=None, **named):
            self.encoder_passes += 1
            known = sum(len(one.rows) for one in self.passes)
            masks: dict[str, Tensor] = {}
            drop = dropout or model._random_dropout

            def note(x, site):
                masks[site] = drop(torch.ones_like(x), site)
                return x * masks[site]

            rows = torch.arange(known, known + len(windows.users))

            def by_site(x, site):
                return x * masks[site].to(x)

            self.passes.append(Pass(rows, windows.items, windows.users, by_site))
            return FORWARD(model, windows, *words, dropout=note, **named)

        patch.setattr(NegativeSampler, "draw", note_draw)
        patch.setattr(SharedNegatives, "draw", note_shared)
        patch.setattr(module, "random_ends", note_ends)
        patch.setattr(module, "group_loss", note_pairs)
        patch.setattr(Encoder, "forward", note_pass)

    def begin(self) -> None:
        """Forget what was noted before the next steps."""
        for noted in (self.passes, self.negatives, self.own_ends, self.pairs, self.shared):
            noted.clear()

    def ends(self, users: Tensor) -> Tensor:
        """(B,) where the windows of a step's users end."""
        training = self.engine.training
        return self.own_ends[0] if self.own_ends else training.last[users]

    def of(self, _: int, inputs: SequenceBatch, targets: Tensor) -> Drawn:
        """A step's; each user is in one pass, and draws what is new to them, nobody else."""
        rows = torch.cat([one.rows for one in self.passes])
        assert sorted(rows.tolist()) == list(range(len(inputs.users)))
        several = self.negatives[0][1].shape[2:] if self.negatives else ()
        negatives = targets.new_zeros(*targets.shape, *several)
        for one, (users, drawn) in zip(self.passes, self.negatives, strict=False):
            assert users.equal(inputs.users[one.rows]), "negatives are another user's"
            negatives[one.rows, -drawn.shape[1] :] = drawn
        pairs = self.pairs[0] if self.pairs else None
        return Drawn(self.passes, negatives, pairs, self.shared[0] if self.shared else None)


class NotedOnCpu(Noted):
    """Draws of the CPU's parts, whose passes are their own."""

    def _note(self, patch: pytest.MonkeyPatch) -> None:
        super()._note(patch)
        divided, passage, drop = (
            cpu_training.micro_batches,
            cpu_training.ForwardBackward,
            cpu_weights.dropout_factors,
        )
        self.parts: list[Tensor] = []
        self.own: list[Any] = []
        self.tables: list[Tensor] = []

        def note_parts(windows, targets, owners, config):
            places = torch.arange(len(owners), device=owners.device)
            self.parts += [one.owners for one in divided(windows, targets, places, config)]
            return divided(windows, targets, owners, config)

        class NotedPassage(passage):
            def __init__(passed, *words) -> None:  # noqa: N805
                super().__init__(*words)
                self.own.append(passed)

        def note_tables(like, rate):
            self.tables.append(drop(like, rate))
            return self.tables[-1]

        patch.setattr(cpu_training, "micro_batches", note_parts)
        patch.setattr(cpu_training, "ForwardBackward", NotedPassage)
        patch.setattr(cpu_weights, "dropout_factors", note_tables)

    def begin(self) -> None:
        super().begin()
        for noted in (self.parts, self.own, self.tables):
            noted.clear()

    def of(self, step: int, inputs: SequenceBatch, targets: Tensor) -> Drawn:
        for rows, own in zip(self.parts, self.own, strict=True):
            windows = own.windows
            drop = self._dropout(own)
            self.passes.append(Pass(rows, windows.items, windows.users, drop))
        return super().of(step, inputs, targets)

    def _dropout(self, own: Any) -> Callable[[Tensor, str], Tensor]:
        scale = dropout_scale(own.config.dropout)

        def by_site(x: Tensor, site: str) -> Tensor:
            block, _, part = site.removeprefix("blocks.").partition(".")
            if part in TABLES:
                return x * self._of_table(int(block), part, x)
            if not own.config.dropout:
                return x
            layer = AT_SITES[part](own.blocks[int(block)]) if part else own.dropout
            return x * layer.keep_mask.view(x.shape).to(x) * scale

        return by_site

    def _of_table(self, block: int, part: str, x: Tensor) -> Tensor:
        if not self.engine.config.dropout:
            assert not self.tables
            return torch.ones_like(x)
        model = self.engine.model
        sizes = [len(table) for table in (*model.intervals, *model.positions)]
        return self.tables[0][block].split(sizes)[TABLES.index(part)][-len(x) :].to(x)


TABLES = ("key_intervals", "value_intervals", "key_positions", "value_positions")
AT_SITES: dict[str, Callable[[Any], Any]] = {
    "attention": lambda block: block.attention.dropout,
    "hidden": lambda block: block.inner_dropout,
    "output": lambda block: block.outer_dropout,
}


class Counted:
    """Draws of kernels, computed again from their counters."""

    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch) -> None:
        self.engine, self.encoder_passes = engine, 0
        self.training, self.config = engine.training, engine.config
        self.kernels, self.key = engine.kernels, engine.training.key()

        def count(*words, **named):
            self.encoder_passes += 1
            return FORWARD(*words, **named)

        patch.setattr(Encoder, "forward", count)

    def begin(self) -> None:
        """Nothing was noted."""

    def ends(self, users: Tensor) -> Tensor:
        """See `Noted`."""
        last, chance = self.training.last, self.training.window_draws()
        if self.config.windows == "latest":
            return last[users]
        return random_ends(last, self.config.max_length, chance.to(last.device))[users]

    def of(self, step: int, inputs: SequenceBatch, targets: Tensor) -> Drawn:
        """See `Noted`."""
        self.step = step
        self.words = rng.torch_step_key(self.key, step)
        n_items, n_users = self.engine.sequences.n_items, self.engine.sequences.n_users
        items = self._replaced(inputs.items, "ITEM", self.config.sse_item, n_items)
        users = self._replaced(inputs.users, "USER", self.config.sse_user, n_users)
        rows = torch.arange(len(users))
        pairs = torch.stack([self._user(site) for site in (rng.FIRST, rng.SECOND)])
        negatives = self._negatives(targets) if self.config.loss == "bce" else None
        return Drawn([Pass(rows, items, users, self._dropout(inputs))], negatives, pairs)

    def _user(self, site: Any) -> Tensor:
        drawn = rng.torch_bits(self.words, site.value, torch.arange(self.config.group_pairs))
        return (1 + (drawn * self.engine.sequences.n_users >> 32)).to(self.training.rows.device)

    def _replaced(self, ids: Tensor, site: str, rate: float, n: int) -> Tensor:
        place = self._places(ids)
        own, other = (getattr(rng, name).value for name in (site, f"{site}_ID"))
        drawn = 1 + (rng.torch_bits(self.words, other, place) * n >> 32)
        return torch.where((self._kept(own, place, rate) > 0) | (ids == 0), ids, drawn.to(ids))

    def _kept(self, site: int, place: Tensor, rate: float | None = None) -> Tensor:
        rate = self.config.dropout if rate is None else rate
        if not rate:
            return torch.ones(place.shape, dtype=torch.float64)
        return (self.bits(self.words, site, place) >= round(rate * 2**32)).double() / (1 - rate)


class CountedTokens(Counted):
    """Of tokens without padding."""

    def of(self, step: int, inputs: SequenceBatch, targets: Tensor) -> Drawn:
        self.bits = rng.torch_fast_bits
        real = inputs.items > 0
        self.token = (real.flatten().cumsum(0) - 1).view(real.shape).clamp(min=0).cpu()
        self.place = (real.cumsum(1) - 1).clamp(min=0).cpu()
        return super().of(step, inputs, targets)

    def _places(self, ids: Tensor) -> Tensor:
        return self.token if ids.dim() == 2 else torch.arange(len(ids))

    def _negatives(self, targets: Tensor) -> Tensor:
        drawn, real = torch.zeros_like(targets), targets > 0
        drawn[real] = self.kernels.workspace.negatives.flatten()[: int(real.sum())].long()
        return drawn

    def _dropout(self, _: SequenceBatch) -> Callable[[Tensor, str], Tensor]:
        columns = self.kernels.weights.columns

        def by_site(x: Tensor, site: str) -> Tensor:
            column = torch.arange(x.shape[-1])
            tokens = self.token[..., None] * columns + column  # (B, T, D)
            block, _, part = site.removeprefix("blocks.").partition(".")
            if site == "inputs":
                return x * self._kept(rng.EMBEDDING.value, tokens).to(x)
            at = rng.LAYER.value + rng.LAYER_STREAMS.value * int(block)
            if part in TABLES:
                rows = torch.arange(len(x))[:, None] * columns
                return x * self._kept(at + TABLES.index(part), rows + column).to(x)
            if part == "attention":
                return x * self._kept(at + rng.WEIGHTS.value, self._pairs()).to(x)
            own = {"hidden": rng.HIDDEN, "output": rng.OUT}[part]
            return x * self._kept(at + own.value, tokens).to(x)

        return by_site

    def _pairs(self) -> Tensor:
        """(B, H, T, T)."""
        heads = torch.arange(self.config.heads)[:, None, None]
        query = heads * self.kernels.workspace.n_tokens + self.token[:, None, :, None]
        return query * aligned(self.config.max_length) + self.place[:, None, None, :]


class CountedTiles(Counted):
    """Of windows at the end of tiles, in a row of seeds."""

    def of(self, step: int, inputs: SequenceBatch, targets: Tensor) -> Drawn:
        self.bits, self.layout = rng.torch_bits, self.kernels.layout
        return super().of(step, inputs, targets)

    def _places(self, ids: Tensor) -> Tensor:
        if ids.dim() == 1:
            return torch.arange(len(ids))
        place = torch.arange(len(ids) * self.layout.length).view(len(ids), -1)
        return place[:, -ids.shape[1] :]

    def _negatives(self, targets: Tensor) -> Tensor:
        drawn = self.kernels.workspace.drawn[self.step % self.training.steps % 2].negatives
        own = drawn.view(self.kernels.seeds, self.config.batch_size, -1)[self.engine.number]
        return own[: len(targets), -targets.shape[1] :].long()

    def _dropout(self, _: SequenceBatch) -> Callable[[Tensor, str], Tensor]:
        masks, layout = self._masks(), self.layout

        def by_site(x: Tensor, site: str) -> Tensor:
            block, _, part = site.removeprefix("blocks.").partition(".")
            if part not in TABLES:
                n = 0 if site == "inputs" else 1 + 3 * int(block) + list(AT_SITES).index(part)
                mask = masks[n][: len(x), -x.shape[-2] :]
                mask = mask[..., -x.shape[-1] :] if x.dim() == 4 else mask[..., : x.shape[-1]]
                return x * mask.reshape(x.shape).to(x)
            at = rng.LAYER.value + rng.LAYER_STREAMS.value * int(block) + TABLES.index(part)
            rows = layout.rows if part.endswith("intervals") else layout.length
            kept = self._kept(at, torch.arange(rows * layout.width).view(rows, -1)).to(x)
            cut = kept[: len(x)] if part.endswith("intervals") else kept[-len(x) :]
            return x * cut[:, : x.shape[1]]

        return by_site

    def _masks(self) -> list[Tensor]:
        """Of the input, then of each layer's weights, hidden layer and output: (B, T, ·) each."""
        length, width, rate = self.layout.length, self.layout.width, self.config.dropout
        size = self.kernels.workspace.mask_size
        place = torch.arange(self.config.batch_size * size // 2).view(-1, size // 2)
        drawn = rng.torch_bits(self.words, rng.DROPOUT.value, place)
        kept = torch.cat([drawn & 0xFFFF, drawn >> 16], 1) >= rate * 65536
        widths = [width] + [length, width, width] * self.config.blocks
        parts = kept.double().div(1 - rate).split([length * w for w in widths], 1)
        return [part.unflatten(1, (length, -1)) for part in parts]


SOURCES = {"cpu": NotedOnCpu, "jagged": CountedTokens, "multiseed": CountedTiles}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Products in float32, parts and tiles of sizes that have neighbours here."""
    monkeypatch.setattr(ranks, "BATCH", 2)
    monkeypatch.setattr(cpu_training, "SCORES", 1)
    monkeypatch.setattr(cpu_training, "FEWEST", 1)
    if find_spec("triton"):
        monkeypatch.setattr(jagged, "HALF", torch.float32)
        monkeypatch.setattr(shapes, "KEYS", 16)
        monkeypatch.setattr(jagged, "ROUNDED", 128)
        monkeypatch.setattr(jagged, "SPLITS", 2)
        monkeypatch.setattr(workspace, "OPERANDS", torch.float32)
        monkeypatch.setattr(multiseed, "SPLITS", 2)


@pytest.fixture
def sequences(user, write_sequences) -> Sequences:
    """Three users to train on, of 24 items; gaps from none to months."""
    gaps = [0, 60, 120, 300, 9000, 540_000, 2_592_000]
    rows = []
    for number, length in enumerate((9, 5, 22)):
        items = [1 + (7 * number + 5 * place) % 24 for place in range(length)]
        times = [978_300_000 + number]
        for place in range(1, length):
            times.append(times[-1] + gaps[(place + 2 * number) % len(gaps)])
        unseen = [item for item in range(1, 25) if item not in items]
        drawn = {f"{split}_candidates": unseen[:9] for split in ("valid", "test")}
        rows.append(user(items, times=times, **drawn))
    return load(write_sequences(rows, 24, genres=True))


class Shadow:
    """The encoder in float64, trained by an engine's draws.

    Args:
        trainer: whose settings, weights and groups it has.
        sequences: as they were loaded.
    """

    def __init__(self, trainer: Trainer, sequences: Sequences) -> None:
        self.trainer, config = trainer, trainer.config
        self.sequences = sequences.as_seen_by(config)
        edges = overflow_edges(self.sequences, config).cpu()
        sizes = sequences.n_items, sequences.n_users
        model = Encoder(config, *sizes, edges, sequences.item_features)
        self.model = model.to(sequences.items.device).double().train()
        matrices = [own for own in model.parameters() if own.dim() > 1]
        vectors = [own for own in model.parameters() if own.dim() == 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(groups, betas=(config.beta1, config.beta2))
        for parameter in model.parameters():
            state = self.adam.state[parameter]
            state["step"] = torch.tensor(float(trainer.training.steps_before))
            state["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
            state["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
        last = torch.full((sequences.n_items + 1,), trainer.training.steps_before)
        self.last = last.to(sequences.items.device)  # the step that each item's row is of

    def users(self, step: int) -> Tensor:
        """(B,) of a step of the epoch, in its order."""
        size, training = self.trainer.config.batch_size, self.trainer.training
        order = training.epoch_permutation(training.progress.epoch)
        return order[step * size : (step + 1) * size].to(training.rows.device)

    def step(self, step: int, source: Any, before: int) -> Tensor:
        """A step by what an engine drew for it, after so many others; returns the loss."""
        config, training = self.trainer.config, self.trainer.training
        users = self.users(step)
        rows, ends = training.rows[users], source.ends(users)
        taught = training.targets()
        inputs, targets = training_windows(self.sequences, rows, ends, config.max_length, taught)
        drawn = source.of(before, inputs, targets)
        looked_up = self._looked_up(targets, drawn)
        self._coast(looked_up, before)
        features = torch.zeros(*targets.shape, config.width, dtype=torch.float64)
        for one in drawn.passes:
            length = one.items.shape[1]
            windows = inputs.select(one.rows).latest(length)
            self._refuse_odd_ids(one, windows)
            windows = replace(windows, items=one.items, users=one.users)
            found = FORWARD(self.model, windows, dropout=one.dropout)
            features[one.rows, -length:] = found
        loss = self._loss(features, inputs, targets, drawn)
        loss = loss + self._penalties(drawn.pairs, looked_up)
        self.adam.zero_grad()
        loss.backward()
        unmoved = [own.clone() for own in self._items()]
        for group in self.adam.param_groups:
            group["lr"] = rate_of(config, training.steps, before)
        self.adam.step()
        for own, kept in zip(self._items(), unmoved, strict=True):
            own[~looked_up] = kept[~looked_up]
        self.last[looked_up] = before + 1
        if step + 1 == training.steps:
            self._coast(torch.ones_like(looked_up), before + 1)
        return loss.detach()

    def _coast(self, looked_up: Tensor, now: int) -> None:
        """What Adam moves rows by in the steps since they were looked up, of whom it is asked."""
        config, (items, exp_avg, exp_avg_sq) = self.trainer.config, self._items()
        steps = self.trainer.training.steps
        for row in looked_up.nonzero()[:, 0].tolist():
            for before in range(int(self.last[row]), now):
                rate = rate_of(config, steps, before)
                exp_avg[row] *= config.beta1
                exp_avg_sq[row] *= config.beta2
                left = 1 - config.beta2**now, 1 - config.beta1**now
                root = (exp_avg_sq[row] / left[0]).sqrt().add(1e-8)
                items[row] *= 1 - rate * config.weight_decay
                items[row] -= rate * exp_avg[row] / left[1] / root
            self.last[row] = now

    def _looked_up(self, targets: Tensor, drawn: Drawn) -> Tensor:
        """(I + 1,) bool, the items that a step moves."""
        looked_up = torch.ones(self.sequences.n_items + 1, dtype=torch.bool)
        if drawn.shared is not None:
            looked_up[:] = False
            for ids in (targets, drawn.shared[0], *(one.items for one in drawn.passes)):
                looked_up[ids] = True
        return looked_up.to(targets.device)

    def _items(self) -> list[Tensor]:
        """The item table and its moments."""
        items = self.model.items.weight
        return [items.data, *(self.adam.state[items][kind] for kind in ("exp_avg", "exp_avg_sq"))]

    def _refuse_odd_ids(self, one: Pass, windows: SequenceBatch) -> None:
        """Ids are replaced by others that there are, where they may be."""
        config = self.trainer.config
        for rate, ids, own, n in (
            (config.sse_item, one.items, windows.items, self.sequences.n_items),
            (config.sse_user, one.users, windows.users, self.sequences.n_users),
        ):
            assert ((ids > 0) == (own > 0)).all()
            assert ids.max() <= n
            assert rate or ids.equal(own)

    def _loss(
        self, features: Tensor, inputs: SequenceBatch, targets: Tensor, drawn: Drawn
    ) -> Tensor:
        config = self.trainer.config
        seen = seen_before(self.sequences, inputs.users, inputs.next_positions)
        if config.loss == "softmax":
            excluded = seen if config.exclude_seen else None
            return softmax_loss(self.model, features, targets, excluded, config.smoothing)
        if drawn.shared is not None:
            items, log_expected = drawn.shared
            assert len(items) == config.negatives
            excluded = seen[:, :, items] if config.exclude_seen else None
            table = self.model.items.weight
            return sampled_softmax_loss(features, table, targets, items, log_expected, excluded)
        negatives, real = drawn.negatives, targets > 0
        last = self.sequences.n_train[inputs.users - 1]
        trained = seen_before(self.sequences, inputs.users, last[:, None].expand_as(targets))
        new = ~trained.gather(2, negatives.view(*targets.shape, -1)).view_as(negatives)
        assert (new & (negatives > 0))[real].all(), "a negative is not new to its user"
        if config.loss == "gbce":
            assert negatives.shape[2] == config.negatives
            return gbce_loss(self.model, features, targets, negatives, config.calibration)
        return bce_loss(self.model, features, targets, negatives)

    def _penalties(self, pairs: Tensor | None, looked_up: Tensor) -> Tensor:
        config, groups = self.trainer.config, self.trainer.training.groups
        items, *others = self.model.regularised()
        loss = config.l2 * sum(table.norm() for table in (items[looked_up], *others))
        if not config.grouped or int(groups[1]) < 0:
            return loss
        first, second = pairs
        users, same = self.model.users.weight, groups[first] == groups[second]
        own = group_loss(users, first, second, same, config.group_margin)
        return loss + config.group_weight * own

    def take(self, weights: dict[str, Tensor]) -> None:
        """Go on from the engine's weights: Adam makes noise of what is nearly 0."""
        self.model.load_state_dict(weights)


def rate_of(config: Config, steps: int, before: int) -> float:
    """The learning rate of the step that has so many before it, of epochs with so many."""
    rising, end = config.warmup * steps, config.epochs * steps
    rise = min(1, (before + 1) / rising) if rising else 1
    way = max(0, before - rising) / (end - rising)
    left = {"constant": 1, "linear": 1 - way, "cosine": math.cos(math.pi * way / 2) ** 2}
    return config.learning_rate * rise * left[config.schedule]


SEED = 3


def trainers(name: str, config: Config, sequences: Sequences, epoch: int = 1) -> list[Trainer]:
    """Trainings by an engine, with weights of a size at which everything matters, and groups."""
    sequences = sequences.to(DEVICES[name])
    made = trainers_of(config, [SEED], sequences, name)
    for one in made:
        torch.manual_seed(one.seed)
        weights = {}
        for part, value in one.weights().items():
            noise = 0.2 * torch.randn_like(value) if value.is_floating_point() else 0
            weights[part] = value + noise
            if part.split(".")[0] in {feature.name for feature in FEATURES}:
                weights[part][0] = 0
        one.engine.load(weights)
        if config.teacher_share:
            shape = len(sequences.items), 3
            one.training.taught = torch.randint(1, sequences.n_items + 1, shape, dtype=torch.int16)
        groups = one.training.groups
        groups[1:] = torch.arange(len(groups) - 1) % config.groups if config.grouped else -1
        one.progress.epoch = epoch
        one.engine.restore(no_moments(one))
    return made


def no_moments(trainer: Trainer) -> dict[str, Tensor]:
    """Of a training whose gradients were 0 so far."""
    found = {}
    for name, value in trainer.model.named_parameters():
        found[f"step.{name}"] = torch.tensor(float(trainer.training.steps_before))
        for kind in ("exp_avg", "exp_avg_sq"):
            found[f"{kind}.{name}"] = torch.zeros_like(value, requires_grad=False)
    return found


def check_gradients(name: str, config: Config, sequences: Sequences, steps: int = 2) -> None:
    """An engine's steps are those of the encoder with the same draws."""
    (trainer,) = trainers(name, config, sequences)
    shadow = Shadow(trainer, sequences.to(DEVICES[name]))
    engine, training, progress = trainer.engine, trainer.training, trainer.progress
    shadow.take(engine.weights())
    losses = 0.0
    with pytest.MonkeyPatch.context() as patch:
        source = SOURCES.get(name, Noted)(engine, patch)
        for _ in range(steps):
            first, before = progress.step, training.steps_before
            source.begin()
            engine.train()
            for number in range(progress.step - first):
                losses += float(shadow.step(first + number, source, before + number))
            compare(engine, shadow)
            shadow.take(engine.weights())
            if progress.step == training.steps:
                break
    assert float(training.loss_sum) == pytest.approx(losses, rel=1e-4)
    assert not (engine.own_passes and source.encoder_passes), "the encoder was asked"


def compare(engine: Engine, shadow: Shadow) -> None:
    """Adam's moments, by which gradients are known, and weights."""
    moments, weights, config = engine.moments(), engine.weights(), engine.config
    for name, parameter in shadow.model.named_parameters():
        own, share = shadow.adam.state[parameter], 1 - config.beta1
        found = {kind: moments[f"{kind}.{name}"].double() for kind in own}
        assert found["step"] == own["step"]
        of = {"msg": lambda why, name=name: f"gradient of {name}: {why}"}
        gradient = own["exp_avg"] / share
        torch.testing.assert_close(found["exp_avg"] / share, gradient, rtol=1e-3, atol=1e-5, **of)
        squares = {"rtol": 3e-3, "atol": 1e-8, **of}
        torch.testing.assert_close(found["exp_avg_sq"], own["exp_avg_sq"], **squares)
        sure = gradient.abs() > 1e-4  # Adam divides by the gradient's size, noise by noise
        change = (weights[name].double() - parameter.detach()).abs()
        assert (change[sure] <= 0.03 * config.learning_rate + 1e-6).all(), f"{name} is another one"
        still = (own["exp_avg"] == 0) & (found["exp_avg"] == 0)  # but for weight decay
        assert (change[still] <= 3e-7).all(), f"{name} decayed otherwise"


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_the_encoders(name, sequences):
    @profile(2 if name in KERNELS else 8)
    @example(config=everything(name))
    @given(config=configs(name))
    def hold(config: Config) -> None:
        check_gradients(name, config, sequences)

    hold()


@pytest.mark.parametrize("name", ["reference", "distributed"])
@pytest.mark.parametrize("negatives", [1, 30])
def test_a_sampled_step_is_the_encoders(name, negatives, sequences):
    """One that looks up few items, and one that looks up most."""
    more = {"loss": "sampled_softmax", "negatives": negatives, "sse_item": 0.4}
    settings = EVERYTHING | more | {"max_length": 5, "batch_size": 1, "teacher_share": 0.0}
    check_gradients(name, usual(name, **settings), sequences, steps=3)
    check_resumption(name, usual(name, **settings), sequences, steps=2)


def check_ranks(name: str, config: Config, sequences: Sequences) -> None:
    """An engine ranks as the encoder does, by the weights that it was given."""
    (trainer,) = trainers(name, config, sequences)
    sequences = sequences.to(DEVICES[name]).as_seen_by(config)
    shadow = Shadow(trainer, sequences)
    shadow.take(trainer.weights())
    with pytest.MonkeyPatch.context() as patch:
        source = SOURCES.get(name, Noted)(trainer.engine, patch)
        for split in ("valid", "test"):
            asked = PROTOCOLS if split == "test" else ("uniform_100",)
            found = trainer.engine.rank(split, asked)
            with pytest.MonkeyPatch.context() as plain:
                plain.setattr(Encoder, "forward", FORWARD)
                score = scorer(shadow.model, sequences)
                expected = rank(score, sequences, split, config.max_length, asked)
            assert found.users.equal(expected.users)
            for protocol in asked:
                assert found.ranks[protocol].equal(expected.ranks[protocol])
                assert found.n_candidates[protocol].equal(expected.n_candidates[protocol])
            if found.lists is not None and expected.lists is not None:
                assert found.lists.equal(expected.lists)
    assert not (trainer.engine.own_passes and source.encoder_passes), "the encoder was asked"


def check_resumption(name: str, config: Config, sequences: Sequences, steps: int) -> None:
    """A training goes on from a state to the same bits, and the reference takes the state too."""
    whole, part, resumed = (trainers(name, config, sequences, epoch=0)[0] for _ in range(3))
    run(whole)
    run(part, steps)
    state = copied(part)
    resumed.step()  # what it leaves behind is overwritten
    resumed.restore(copied(part))
    run(resumed)
    assert same(copied(whole).tensors, copied(resumed).tensors)
    assert resumed.progress.epochs == whole.progress.epochs
    (plain,) = trainers("reference", config, sequences)
    plain.restore(state)
    assert same({n: x.to("cpu") for n, x in state.tensors.items()}, copied(plain).tensors)


def run(trainer: Trainer, steps: int = 99) -> None:
    """So many calls of `step`, up to the end of the second epoch."""
    while trainer.progress.epoch < 2 and steps:
        while trainer.progress.step < trainer.steps and steps:
            trainer.step()
            steps -= 1
        if trainer.progress.step == trainer.steps and steps:
            trainer.end_epoch()


def copied(trainer: Trainer) -> State:
    state = trainer.state()
    return State({name: x.cpu().clone() for name, x in state.tensors.items()}, state.facts)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(x.equal(other[name]) for name, x in one.items())


@pytest.mark.parametrize("name", NAMES)
def test_it_ranks_as_the_encoder(name, sequences):
    @profile({"multiseed": 1, "jagged": 2}.get(name, 8))
    @given(config=configs(name))
    def hold(config: Config) -> None:
        check_ranks(name, config, sequences)

    hold()


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_from_a_state_to_the_same_bits(name, sequences):
    @profile({"multiseed": 1, "jagged": 1}.get(name, 6))
    @given(config=configs(name), steps=st.integers(1, 3))
    def hold(config: Config, steps: int) -> None:
        check_resumption(name, config, sequences, steps)

    hold()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", [check_gradients, check_ranks, check_resumption])
def test_it_is_held_to_many_settings(check, name, sequences):
    more = {"steps": st.integers(1, 3)} if check is check_resumption else {}
    few = 1 if check is check_resumption else 3  # the interpreter takes seconds a step

    @profile(few if name in KERNELS else 20)
    @given(config=configs(name), **more)
    def hold(config: Config, **more: int) -> None:
        check(name, config, sequences, **more)

    hold()


def test_all_engines_can_be_asked_for():
    assert ("auto", *ENGINES) == ASKED_FOR


def test_every_switch_is_drawn_or_said_to_be_irrelevant():
    assert {*SWITCHES, *IRRELEVANT} == {field.name for field in fields(Config)}
    assert not SWITCHES.keys() & IRRELEVANT.keys()
    assert all(len(set(values)) > 1 for values in SWITCHES.values())


@profile(60)
@given(
    config=configs("reference"),
    name=st.sampled_from(list(ENGINES)),
    device=st.sampled_from(["cpu", "cuda"]),
    triton=st.booleans(),
)
def test_an_engine_that_refuses_says_why_and_what_to_do(config, name, device, triton):
    device = torch.device(device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract, "find_spec", lambda _: triton or None)
        refusal = ENGINES[name].refuses(config, device)
        able = [key for key, kind in ENGINES.items() if not kind.refuses(config, device)]
        assert engine_of("auto", config, device) == able[0]
        assert "reference" in able
        if refusal is None:
            assert engine_of(name, config, device) == name
            return
        with pytest.raises(ModelError) as error:
            engine_of(name, config, device)
    assert refusal.got
    assert refusal.expected
    said = f"The {name} engine can't train this: got {refusal.got}, expected {refusal.expected}"
    assert str(error.value) == f"{said}. Use --engine {' or '.join(able)}."


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_covers_all_but_what_is_fixed_here(name, monkeypatch):
    """So whoever makes an engine refuse more, or less, tells this file."""
    monkeypatch.setattr(contract, "find_spec", lambda _: True)
    device = torch.device("cuda" if name in KERNELS else DEVICES[name])
    for switch, values in SWITCHES.items():
        for value in values:
            refusal = ENGINES[name].refuses(usual(name, **{switch: value}), device)
            fixed = FIXED.get(name, {}).get(switch, (value,))
            assert (refusal is None) == (value in fixed), f"{switch} {value}: {refusal}"
            assert refusal is None or str(value) in refusal.got


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.values[0] in KERNELS])
def test_it_would_find_a_training_that_looks_back_from_another_moment(name, sequences, monkeypatch):
    """Once engines of kernels looked back from the latest interaction, whatever was asked for."""
    config = usual(name, time_reference="query")
    check_gradients(name, config, sequences)
    make, with_time_reference = trainers, Sequences.with_time_reference

    def with_another_moment(*words, **named):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                Sequences, "with_time_reference", lambda self, _: with_time_reference(self, "last")
            )
            return make(*words, **named)

    monkeypatch.setitem(globals(), "trainers", with_another_moment)
    with pytest.raises(AssertionError, match="gradient of"):
        check_gradients(name, config, sequences)


def test_it_would_find_negatives_of_a_user_who_only_lends_a_vector(sequences, monkeypatch):
    """Once the CPU drew them for whoever was the user of a window after replacement."""
    config = usual("cpu", sse_user=0.6)
    check_gradients("cpu", config, sequences)
    divided = cpu_training.micro_batches

    def by_lender(windows, targets, owners, config):
        lent = windows.users if owners.max() == sequences.n_users else owners
        return divided(windows, targets, lent, config)

    monkeypatch.setattr(cpu_training, "micro_batches", by_lender)
    with pytest.raises(AssertionError, match="negatives are another user's"):
        check_gradients("cpu", config, sequences)


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("triton"), reason="no Triton")
def test_it_would_find_an_engine_that_is_ranked_by_another_one(sequences, monkeypatch):
    """Once, after a merge, the encoder validated what kernels had trained."""
    from fpt_model.engines.jagged.training import JaggedEngine
    from fpt_model.engines.reference import Reference

    monkeypatch.setattr(JaggedEngine, "rank", Reference.rank)
    with pytest.raises(AssertionError, match="the encoder was asked"):
        check_ranks("jagged", usual("jagged"), sequences)


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("triton"), reason="no Triton")
def test_it_would_find_a_state_without_the_moments_of_its_first_epoch(sequences, monkeypatch):
    """Once the engine of several seeds counted whole epochs alone."""
    from fpt_model.engines.multiseed.training import MultiseedEngine

    moments = MultiseedEngine.moments

    def of_whole_epochs(engine: Engine) -> dict[str, Tensor]:
        return moments(engine) if engine.training.progress.epoch else {}

    monkeypatch.setattr(MultiseedEngine, "moments", of_whole_epochs)
    with pytest.raises(AssertionError):
        check_resumption("multiseed", usual("multiseed"), sequences, 1)
