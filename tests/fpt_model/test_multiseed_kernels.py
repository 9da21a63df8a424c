"""The multiseed kernels against the encoder in float64, masks and all; on a CPU by interpreter."""

import os
import random
from dataclasses import replace

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.config import resolve
from fpt_model.data.sequences import SequenceBatch, load
from fpt_model.engines.gpu import rng
from fpt_model.engines.multiseed import chain, engine, state, weight_launches, workspace
from fpt_model.engines.multiseed.step import drop_tables, gradients, start, train_step
from fpt_model.features import FEATURES
from fpt_model.model.encoder import Encoder
from fpt_model.model.intervals import overflow_edges
from fpt_model.model.losses import bce_loss, group_loss

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZES = {"max_length": 20, "batch_size": 3, "item_width": 10, "time_span": 40, "group_weight": 0.0}
WIDTHS = {"week_width": 5, "user_width": 4}
SEEDS, STEP, BEFORE = 2, 1, 100
OTHERS = ("sasrec", "tisasrec", "tisasrec_plus", "tisasrec_plus_plus")  # parts of those two


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(workspace, "OPERANDS", torch.float32)
    monkeypatch.setattr(state, "SPLITS", 2)
    monkeypatch.setattr(chain, "PIECE", 16)  # several to a matrix of the widest model here
    monkeypatch.setattr(weight_launches, "COLUMNS_AT_ONCE", 16)


@pytest.fixture
def histories_with(user, write_sequences):
    """Of five users: windows of one tile and of two, full ones among them, and a batch not full."""

    def write(later: int):
        """The second half of each history lies so many seconds later."""
        chance = random.Random(7)
        rows = []
        for length in (30, 5, 24, 21, 26):
            items = chance.sample(range(1, 51), length)
            times = sorted(978_300_000 + 60 * chance.randint(0, 50_000) for _ in items)
            half = [0] * (length // 2) + [later] * (length - length // 2)
            rows.append(user(items, times=[a + b for a, b in zip(times, half, strict=True)]))
        return write_sequences([*rows, user([7])], 50, genres=True)

    return write


@pytest.fixture
def histories(histories_with):
    return histories_with(0)


class Step:
    """One step of two seeds by the kernels, its weights untouched."""

    def __init__(self, path, slug: str, **settings) -> None:
        paper = resolve(slug, "paper")
        widths = {name: width for name, width in WIDTHS.items() if getattr(paper, name)}
        self.config = resolve(slug, "paper", SIZES | widths | settings)
        self.sequences = load(path).to(DEVICE).as_seen_by(self.config)
        torch.manual_seed(1)
        edges = overflow_edges(self.sequences, self.config).cpu()
        self.models = [self._model(edges) for _ in range(SEEDS)]
        self.keys = torch.tensor([[123, 987_654_321], [124, 987_654_328]])
        rows = self.sequences.trainable()
        ends, length = self.sequences.n_train[rows] - 1, self.config.max_length
        self.inputs = self.sequences.windows(rows, ends, length)
        targets = self.sequences.windows(rows, ends + 1, length).items
        self.targets = torch.where(self.inputs.items > 0, targets, 0)
        self.engine = engine.Engine(self.models, self.keys, self.sequences, len(rows))
        orders = [torch.randperm(len(rows)) for _ in range(SEEDS)]
        self.order = torch.stack(orders).int().to(DEVICE)
        self.engine.copy_batch_(self.engine.windows(self.inputs, self.targets, shared=True))
        self.engine.prepare(self.order, torch.tensor([BEFORE] * SEEDS))

    def _model(self, edges) -> Encoder:
        n_items, n_users = self.sequences.n_items, self.sequences.n_users
        known = n_items, n_users, edges, self.sequences.item_features
        model = Encoder(self.config, *known).to(DEVICE)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
                if name in {feature.table for feature in FEATURES}:
                    parameter[0] = 0
        return model

    def grads(self) -> list[dict]:
        """The gradients of each seed, by name; the engine is left as clean as it was."""
        at = self.engine
        start(at, at.batch, STEP)
        gradients(at, at.batch, STEP)
        flat = torch.cat([at.embedding_grads.double() / 2**40, self._dense()], 1)
        flat = flat / at.n_real[:, STEP, None]
        at.embedding_grads.zero_()
        return [at.layout.unpack(one) for one in flat]

    def _dense(self) -> torch.Tensor:
        """Sums over the parts of the batch, those of later blocks onto what all blocks share."""
        at = self.engine
        dense, shared = at.dense.double().sum(1), at.layout.shared
        sums, behind = dense.tensor_split([at.layout.size - at.layout.embedding_size], 1)
        if self.config.intervals:
            sums[:, -shared:] += behind.unflatten(1, (-1, shared)).sum(1)
        return sums

    def window_index(self, seed: int):
        size = self.config.batch_size
        return self.order[seed][STEP * size : (STEP + 1) * size].long()


TABLES = ("key_intervals", "value_intervals", "key_positions", "value_positions")
OF_TOKENS = ("attention", "hidden", "output")


class Drawn:
    """What the kernels drew for a seed: dropouts as the encoder asks for them, replaced ids."""

    def __init__(self, step: Step, seed: int) -> None:
        self.config, self.sequences = step.config, step.sequences
        self.words = rng.torch_step_key(step.keys[seed], BEFORE + STEP)
        self.layout = step.engine.layout
        self.masks = self._masks(step.engine.workspace.mask_size)

    def _masks(self, size: int) -> list[torch.Tensor]:
        """Of the input, then of each layer's weights, hidden layer and output: (B, T, ·) each."""
        length, width, rate = self.layout.length, self.layout.width, self.config.dropout
        place = torch.arange(self.config.batch_size * size // 2).view(-1, size // 2)
        drawn = rng.torch_bits(self.words, rng.DROPOUT.value, place)
        kept = torch.cat([drawn & 0xFFFF, drawn >> 16], 1) >= rate * 65536
        widths = [width] + [length, width, width] * self.config.blocks
        parts = kept.double().to(DEVICE).div(1 - rate).split([length * w for w in widths], 1)
        return [part.unflatten(1, (length, -1)) for part in parts]

    def kept(self, stream: int, *shape: int, rate: float | None = None) -> torch.Tensor:
        rate = self.config.dropout if rate is None else rate
        if not rate:
            return torch.ones(shape, dtype=torch.float64, device=DEVICE)
        place = torch.arange(torch.Size(shape).numel()).view(shape)
        stays = rng.torch_bits(self.words, stream, place) >= round(rate * 2**32)
        return stays.double().to(DEVICE) / (1 - rate)

    def __call__(self, x: torch.Tensor, stream: str) -> torch.Tensor:
        """See `fpt_model.model.encoder.Dropout`."""
        if stream == "inputs":
            return self._of_tokens(x, 0)
        block, part = stream.removeprefix("blocks.").split(".")
        if part in OF_TOKENS:
            return self._of_tokens(x, 1 + len(OF_TOKENS) * int(block) + OF_TOKENS.index(part))
        number = TABLES.index(part)
        at = rng.LAYER.value + rng.LAYER_STREAMS.value * int(block) + number
        if part.endswith("intervals"):
            return x * self.kept(at, self.layout.rows, self.layout.width)[: len(x), : x.shape[1]]
        places = self.kept(at, self.layout.length, self.layout.width)
        return x * places[-len(x) :, : x.shape[1]]

    def _of_tokens(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """x (B, T, D) or, of one head, (B, 1, T, T); windows lie at the end of a tile."""
        mask = self.masks[number][: len(x), -x.shape[-2] :]
        mask = mask[..., -x.shape[-1] :] if x.dim() == 4 else mask[..., : x.shape[-1]]
        return x * mask.view_as(x)

    def windows(self, w: SequenceBatch) -> SequenceBatch:
        """Some ids are others."""
        tile = (self.config.batch_size, self.layout.length)
        sites = (rng.ITEM.value, rng.ITEM_ID.value), (rng.USER.value, rng.USER_ID.value)
        rates, sizes = self.config, self.sequences
        return replace(
            w,
            items=self._replaced(w.items, sites[0], tile, rates.sse_item, sizes.n_items),
            users=self._replaced(w.users, sites[1], tile[:1], rates.sse_user, sizes.n_users),
        )

    def _replaced(self, ids, sites: tuple[int, int], shape: tuple[int, ...], rate: float, n: int):
        place = torch.arange(torch.Size(shape).numel()).view(shape)
        other = 1 + (rng.torch_bits(self.words, sites[1], place) * n >> 32)
        stays = self.kept(sites[0], *shape, rate=rate) > 0
        n_windows, *length = ids.shape
        cut = slice(n_windows), *(slice(-size, None) for size in length)  # windows are at the end
        return torch.where(stays[cut] | (ids == 0), ids, other.to(DEVICE)[cut])


GRADIENTS = [
    ("sas_fpt", {"rating_width": 3, "genre_width": 2}),
    ("sse_pt", {"genre_width": 3}),
    *(slow(name, {}) for name in ("sas_fpt", *OTHERS)),
]


@pytest.mark.parametrize(("variant", "settings"), GRADIENTS)
def test_gradients_are_those_of_the_encoder(variant, settings, histories_with):
    a_year = 52 * 7 * 86_400
    step = Step(histories_with(a_year - 10 * 86_400), variant, dropout=0.3, **settings)
    tiles = step.inputs.weeks[:, -16:]
    assert any(len(week.unique_consecutive()) > len(week.unique()) for week in tiles)
    step.grads()
    both = step.grads()  # the second time on scratch that the first one used
    size, length = step.config.batch_size, step.config.max_length
    negatives = step.engine.workspace.drawn[STEP % 2].negatives.view(SEEDS, size, -1)
    for seed, grads in enumerate(both):
        window_index = step.window_index(seed)
        model = step.models[seed].double()
        drawn = Drawn(step, seed)
        features = model(drawn.windows(step.inputs.select(window_index)), dropout=drawn)
        others = negatives[seed, : len(window_index), -length:].long()
        loss = bce_loss(model, features, step.targets[window_index], others)
        loss.backward()
        losses = step.engine.workspace.losses.view(SEEDS, -1)[seed].double()
        assert losses.sum().item() / step.engine.n_real[seed, STEP].item() == pytest.approx(
            loss.item(), rel=1e-5
        )
        for name, parameter in model.named_parameters():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert torch.allclose(grads[name], expected, rtol=1e-3, atol=2e-6), name


def test_halves_lose_little(histories, monkeypatch):
    exact = Step(histories, "sas_fpt", dropout=0.3)
    expected = exact.grads()
    monkeypatch.setattr(workspace, "OPERANDS", torch.float16)
    rounded = Step(histories, "sas_fpt", dropout=0.3)
    for found, grads in zip(rounded.grads(), expected, strict=True):
        for name, grad in grads.items():
            error = (found[name] - grad).norm()
            assert error <= 0.015 * grad.norm() + 1e-4, name  # a key's bias has none


def test_negatives_are_new_to_the_user(histories):
    step = Step(histories, "sasrec")
    step.grads()
    negatives = step.engine.workspace.drawn[STEP % 2].negatives
    drawn = negatives.view(SEEDS, step.config.batch_size, -1)
    for seed in range(SEEDS):
        users = step.inputs.users[step.window_index(seed)].tolist()
        for user, row in zip(users, drawn[seed], strict=False):
            start, n_train = step.sequences.starts[user - 1], step.sequences.n_train[user - 1]
            seen = set(step.sequences.items[start : start + n_train].tolist())
            assert not seen & set(row[-step.config.max_length :].tolist())
            assert 1 <= row.min() <= row.max() <= step.sequences.n_items


PAPER = {"max_length": 50, "time_span": 256, "item_width": 50}


@pytest.mark.parametrize(
    ("variant", "sizes"),
    [("sas_fpt", {"time_reference": "query"}), ("sasrec", {}), slow("tisasrec_plus", PAPER)],
)
def test_features_to_rank_by_are_those_of_the_encoder(variant, sizes, histories):
    step = Step(histories, variant, dropout=0.3, **sizes)
    rows = step.sequences.evaluated()[:2]
    ends, length = step.sequences.held_out(rows, "valid"), step.config.max_length
    windows = step.sequences.windows(rows, ends, length)
    for _ in range(2):  # the second time on scratch that the first one used
        found = step.engine.features(step.engine.windows(windows, None, shared=True))
    for seed, model in enumerate(step.models):
        expected = model.double().eval()(windows)[:, -1]
        assert torch.allclose(found[seed].double(), expected, atol=1e-5)


def test_a_step_is_adams_with_norm_penalty_and_group_loss(histories):
    settings = {"dropout": 0.0, "group_weight": 0.3, "l2": 0.01, "group_pairs": 20}
    step = Step(histories, "sas_fpt", **settings)
    at, config = step.engine, step.config
    groups = torch.arange(step.sequences.n_users + 1, device=DEVICE) % 3
    at.groups.copy_(groups.int().expand(SEEDS, -1))
    at.step_counter.zero_()
    start(at, at.batch, 0)
    before = [at.layout.unpack(flat) for flat in at.params]
    train_step(at, 0)
    for seed in range(SEEDS):
        model = step.models[seed]
        window_index = step.order[seed][: config.batch_size].long()
        drawn = at.workspace.drawn[0].negatives.view(SEEDS, config.batch_size, -1)[seed]
        drawn = drawn[:, -config.max_length :].long()
        model.load_state_dict(before[seed] | {"edges": model.edges})
        model.eval()
        loss = bce_loss(
            model, model(step.inputs.select(window_index)), step.targets[window_index], drawn
        )
        loss = loss + config.l2 * sum(table.norm() for table in model.regularised())
        place, n_users = torch.arange(config.group_pairs), step.sequences.n_users
        bits = [
            rng.torch_bits(rng.torch_step_key(step.keys[seed], 0), stream, place)
            for stream in (rng.FIRST.value, rng.SECOND.value)
        ]
        first, second = ((1 + (drawn_bits * n_users >> 32)).to(DEVICE) for drawn_bits in bits)
        same = groups[first] == groups[second]
        pulled = group_loss(model.users.weight, first, second, same, config.group_margin)
        (loss + config.group_weight * pulled).backward()
        assert at.record[seed, 0].item() == pytest.approx(
            (loss + config.group_weight * pulled).item(), rel=1e-4
        )
        moments = at.layout.unpack(at.exp_avg[seed])
        after = at.layout.unpack(at.params[seed])
        for name, parameter in model.named_parameters():
            grad = moments[name] / (1 - config.beta1)  # after one step, that of the loss
            assert torch.allclose(grad, parameter.grad, rtol=1e-3, atol=2e-5), name
            sure = grad.abs() > 1e-6
            moved = (before[seed][name] - after[name])[sure]
            expected = config.learning_rate * grad[sure].sign()
            assert torch.allclose(moved, expected, rtol=0.02, atol=1e-6), name


def test_a_seed_alone_is_that_seed_among_others(histories):
    step = Step(histories, "tisasrec", dropout=0.3)
    pair = step.engine
    start(pair, pair.batch, 0)
    train_step(pair, 0)
    alone = engine.Engine(step.models[1:], step.keys[1:], step.sequences, pair.n_rows)
    alone.copy_batch_(alone.windows(step.inputs, step.targets, shared=True))
    alone.prepare(step.order[1:], torch.tensor([BEFORE]))
    start(alone, alone.batch, 0)
    train_step(alone, 0)
    assert torch.equal(alone.params[0], pair.params[1])
    assert not torch.equal(pair.params[0], pair.params[1])


def test_adam_leaves_the_tables_of_the_next_step(histories):
    at = Step(histories, "tisasrec", dropout=0.3).engine
    start(at, at.batch, 0)
    train_step(at, 0)
    left = at.tables.clone(), at.positions.clone()
    drop_tables(at, 1, train=True)
    assert torch.equal(left[0], at.tables)
    assert torch.equal(left[1], at.positions)
    assert (at.tables == 0).any()
