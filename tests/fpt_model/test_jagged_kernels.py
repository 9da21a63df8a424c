"""The kernels of captured steps against the encoder in float64; on a CPU by interpreter."""

import itertools
import math
import os
import random
from dataclasses import replace

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.config import resolve
from fpt_model.data.seen import seen_before
from fpt_model.data.sequences import SequenceBatch, load
from fpt_model.data.training_windows import training_windows
from fpt_model.engines.gpu import rng
from fpt_model.engines.gpu.layout import aligned
from fpt_model.engines.jagged import (
    attention,
    engine,
    first_seen,
    products,
    shapes,
    softmax,
    state,
)
from fpt_model.engines.jagged.plan import Histories
from fpt_model.engines.jagged.products import Job, Jobs
from fpt_model.engines.jagged.weight_grads import group_loss_grad, update
from fpt_model.engines.jagged.workspace import Workspace
from fpt_model.features import FEATURES
from fpt_model.model.encoder import Encoder
from fpt_model.model.intervals import overflow_edges
from fpt_model.model.losses import bce_loss, group_loss, softmax_loss

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZES = {"max_length": 19, "batch_size": 9, "item_width": 10, "time_span": 40, "blocks": 2}
WIDTHS = {"week_width": 4, "user_width": 6}
BEFORE = 100  # steps before the epoch
KEY = torch.tensor([123, 987_654_321])


@pytest.fixture
def long_histories(user, write_sequences):
    """20 users with up to 40 interactions of 30 items, some at the same moment."""
    chances = random.Random(7)
    rows = []
    for _ in range(20):
        items = [chances.randint(1, 30) for _ in range(chances.randint(3, 40))]
        gaps = [60 * chances.choice([0, 1, 2, 5, 300, 9000, 30_000]) for _ in items]
        rows.append(user(items, times=list(itertools.accumulate(gaps, initial=10**9))[1:]))
    return write_sequences(rows, 30, genres=True)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Products in float32, and tiles that have neighbours at sizes the interpreter can do."""
    monkeypatch.setattr(state, "HALF", torch.float32)
    for tile in ("QUERIES", "KEYS", "CHUNK", "NARROW_QUERIES"):
        monkeypatch.setattr(shapes, tile, 16)
    monkeypatch.setattr(products, "TILE", 16)
    monkeypatch.setattr(state, "ROUNDED", 128)
    monkeypatch.setattr(state, "SPLITS", 2)


class Step:
    """The second step of an epoch, its weights untouched."""

    def __init__(self, path, slug: str, **settings) -> None:
        paper = resolve(slug, "paper")
        widths = {name: width for name, width in WIDTHS.items() if getattr(paper, name)}
        self.config = resolve(slug, "paper", SIZES | widths | settings)
        self.sequences = load(path).to(DEVICE).as_seen_by(self.config)
        torch.manual_seed(1)
        edges = overflow_edges(self.sequences, self.config).cpu()
        n_items, n_users = self.sequences.n_items, self.sequences.n_users
        known = n_items, n_users, edges, self.sequences.item_features
        model = Encoder(self.config, *known).to(DEVICE)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
                if name in {feature.table for feature in FEATURES}:
                    parameter[0] = 0
        self.plain = Encoder(self.config, *known).to(DEVICE)
        self.plain.load_state_dict(model.state_dict())
        self.plain = self.plain.double()
        self.groups = torch.full((n_users + 1,), -1, device=DEVICE)
        self.record = torch.zeros((), dtype=torch.float64, device=DEVICE)
        self.engine = engine.Engine(model, KEY, self.sequences, self.groups, self.record)
        rows = self.sequences.trainable()
        rows = rows[torch.randperm(len(rows)).to(DEVICE)]
        ends, length = self.sequences.n_train[rows] - 1, self.config.max_length
        batch = self.config.batch_size
        plan = Histories(self.sequences).plan(rows.cpu(), ends.cpu(), length, batch)
        self.engine.start_epoch(plan, 1, BEFORE)
        chosen = slice(batch, 2 * batch)
        self.inputs, self.targets = training_windows(
            self.sequences, rows[chosen], ends[chosen], length
        )
        self.tokens = state.round_up_tokens(plan.tokens[1])

    @property
    def at(self):
        return self.engine.workspace

    def grads(self) -> dict[str, torch.Tensor]:
        """The gradients by name; the engine is left as clean as it was."""
        own, weights = self.engine, self.engine.weights
        own.step_counter.copy_(torch.tensor([BEFORE, 1]))
        self.count = own.differentiate(self.tokens)
        flat = weights.grads.double()
        flat[: weights.embedding_size] = own.embedding_grads.double() / 2**32
        own.embedding_grads.zero_()
        if self.config.loss == "softmax":
            parts = self.at.item_parts.double().sum(0)
            flat[: parts.numel()] += parts.flatten()
        products = own.product_parts.double().sum(0)[: len(flat) - weights.o_products]
        flat[weights.o_products :] = products
        flat /= int((self.targets > 0).sum())
        return {name: place.view(flat).clone() for name, place in weights.slots.items()}


TABLES = ("key_intervals", "value_intervals", "key_positions", "value_positions")


class Drawn:
    """What the kernels drew: dropouts, as the encoder asks for them, and replaced ids.

    `token` (B, T) is each place's token, `place` (B, T) its number within the sequence.
    """

    def __init__(self, step: Step) -> None:
        self.config, self.sequences = step.config, step.sequences
        self.capacity, self.columns = step.at.n_tokens, step.engine.weights.columns
        real = step.inputs.items > 0
        self.token = (real.flatten().cumsum(0) - 1).view(real.shape).clamp(min=0)
        self.place = (real.cumsum(1) - 1).clamp(min=0)

    def kept(self, stream: int, place: torch.Tensor, rate: float | None = None) -> torch.Tensor:
        rate = self.config.dropout if rate is None else rate
        if not rate:
            return torch.ones(place.shape, dtype=torch.float64, device=DEVICE)
        drawn = rng.torch_fast_bits(rng.torch_step_key(KEY, BEFORE), stream, place.cpu()).to(DEVICE)
        stays = drawn >= round(rate * 2**32)
        return stays.double() / (1 - rate)

    def __call__(self, x: torch.Tensor, stream: str) -> torch.Tensor:
        """See `fpt_model.model.encoder.Dropout`."""
        columns = torch.arange(x.shape[-1], device=DEVICE)
        tokens = self.token[..., None] * self.columns + columns  # (B, T, D)
        if stream == "inputs":
            return x * self.kept(rng.EMBEDDING.value, tokens)
        block, part = stream.removeprefix("blocks.").split(".")
        at = rng.LAYER.value + rng.LAYER_STREAMS.value * int(block)
        if part == "attention":
            return x * self.kept(at + rng.WEIGHTS.value, self._pairs())
        if part in TABLES:
            rows = torch.arange(len(x), device=DEVICE)[:, None] * self.columns
            return x * self.kept(at + TABLES.index(part), rows + columns)
        return x * self.kept(
            at + {"hidden": rng.HIDDEN.value, "output": rng.OUT.value}[part], tokens
        )

    def _pairs(self) -> torch.Tensor:
        """(B, H, T, T)."""
        heads = torch.arange(self.config.heads, device=DEVICE)[:, None, None]
        query = heads * self.capacity + self.token[:, None, :, None]
        return query * aligned(self.config.max_length) + self.place[:, None, None, :]

    def windows(self, w: SequenceBatch) -> SequenceBatch:
        """Some ids are others."""
        config, sizes = self.config, self.sequences
        row = torch.arange(len(w.users), device=DEVICE)
        of_items = rng.ITEM.value, rng.ITEM_ID.value, self.token, config.sse_item, sizes.n_items
        of_users = rng.USER.value, rng.USER_ID.value, row, config.sse_user, sizes.n_users
        return replace(
            w, items=self._replaced(w.items, *of_items), users=self._replaced(w.users, *of_users)
        )

    def _replaced(self, ids, stream: int, id_stream: int, place, rate: float, n: int):
        drawn = rng.torch_bits(rng.torch_step_key(KEY, BEFORE), id_stream, place.cpu()).to(DEVICE)
        stays = self.kept(stream, place, rate) > 0
        return torch.where(stays | (ids == 0), ids, 1 + (drawn * n >> 32))


def plain_loss(step: Step, features: torch.Tensor) -> torch.Tensor:
    if step.config.loss == "softmax":
        first_seen = None
        if step.config.exclude_seen:
            first_seen = seen_before(step.sequences, step.inputs.users, step.inputs.next_positions)
        smoothing = step.config.smoothing
        return softmax_loss(step.plain, features, step.targets, first_seen, smoothing)
    drawn = torch.zeros_like(step.targets)
    real = step.targets > 0
    drawn[real] = step.at.negatives.flatten()[: int(real.sum())].long()
    return bce_loss(step.plain, features, step.targets, drawn)


SETTINGS = [
    (
        "sas_fpt",
        {
            "heads": 2,
            "loss": "softmax",
            "exclude_seen": True,
            "time_reference": "query",
            "rating_width": 2,
            "genre_width": 4,
            "smoothing": 0.2,
        },
    ),
    slow("tisasrec", {"loss": "softmax", "exclude_seen": True}),
    slow("sasrec", {"loss": "softmax", "smoothing": 0.1}),
    slow("sse_pt", {"heads": 3, "user_width": 5, "genre_width": 3}),
    slow("sas_fpt", {}),
    slow("tisasrec", {"loss": "softmax", "blocks": 1}),
    slow("tisasrec_plus", {"heads": 5, "blocks": 3}),
    slow("tisasrec_plus_plus", {"heads": 7, "loss": "softmax", "max_length": 7}),
    slow("sasrec", {"loss": "softmax", "rating_width": 5}),
]


@pytest.mark.parametrize(("variant", "settings"), SETTINGS)
def test_gradients_are_those_of_the_encoder(variant, settings, long_histories):
    step = Step(long_histories, variant, dropout=0.3, **settings)
    step.grads()
    grads = step.grads()  # the second time in memory that the first one used
    drawn = Drawn(step)
    loss = plain_loss(step, step.plain(drawn.windows(step.inputs), dropout=drawn))
    loss.backward()
    n = int((step.targets > 0).sum())
    assert step.at.losses[: step.count].sum().item() / n == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in step.plain.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert torch.allclose(grads[name], expected, rtol=1e-3, atol=2e-6), name


def test_the_group_loss_is_the_encoders(long_histories):
    step = Step(long_histories, "sas_fpt", group_weight=0.3, group_pairs=7)
    at, config, n_users = step.engine, step.config, step.sequences.n_users
    step.groups.copy_(torch.arange(n_users + 1, device=DEVICE) % 3)
    at.step_counter.copy_(torch.tensor([BEFORE, 1]))
    at.key.copy_(torch.tensor([11, 12, 1]))
    at.meta[0, -1] = 5  # tokens, by which gradients are divided in the end
    group_loss_grad(at)
    place, words = torch.arange(config.group_pairs), (torch.tensor(11), torch.tensor(12))
    first, second = (
        (1 + (rng.torch_bits(words, stream, place) * n_users >> 32)).to(DEVICE)
        for stream in (rng.FIRST.value, rng.SECOND.value)
    )
    same = step.groups[first] == step.groups[second]
    users = step.plain.users.weight
    pulled = config.group_weight * group_loss(users, first, second, same, config.group_margin)
    pulled.backward()
    assert at.group_losses.sum().item() == pytest.approx(pulled.item(), rel=1e-5)
    found = at.weights.slots["users.weight"].view(at.embedding_grads.double() / 2**32 / 5)
    assert torch.allclose(found, users.grad, atol=1e-6)


@pytest.mark.parametrize("heads", [1, 2])
def test_nothing_is_between_heads_after_a_step(heads, long_histories):
    step = Step(long_histories, "sas_fpt", heads=heads, rating_width=2, genre_width=4)  # 26 wide
    step.engine.step_counter.copy_(torch.tensor([BEFORE, 1]))
    before = step.engine.weights.params.clone()
    step.engine.step(step.tokens)
    weights, at = step.engine.weights, step.at
    assert not torch.equal(before, weights.params)
    copy = weights.fp16.clone()
    weights.refresh_fp16()
    assert torch.equal(copy, weights.fp16)  # Adam's copy is the whole weights'
    if heads == 1:
        return
    query = weights.product(1, "query").view(2, 16, -1)
    assert torch.equal(query[1, :13, :26], step.engine.model.blocks[1].query.weight[13:])
    both = *(at.q, at.dq, at.attn_out, at.dout), *(at.tables[:, :, : step.engine.n_rows],)
    for tensor in (*both, at.kv[..., :32], at.kv[..., 32:], at.dkv[..., :32], at.dkv[..., 32:]):
        by_head = tensor.unflatten(-1, (2, 16))
        assert by_head[..., :13].abs().sum() > 0
        assert not by_head[..., 13:].any()
    tokens = int(step.engine.meta[0, -1])
    whole = at.dout[:, :tokens].unflatten(-1, (2, 16))[..., :13].flatten(-2)
    assert torch.equal(whole, at.dsum[:, :tokens, :26])


def test_a_step_with_decay_and_a_rate_of_its_own_is_that_of_adamw(long_histories):
    settings = {"heads": 2, "rating_width": 2, "genre_width": 4, "loss": "softmax"}
    step = Step(long_histories, "sas_fpt", weight_decay=0.3, l2=0.0, **settings)  # 26 wide
    at = step.engine
    at.rates = torch.full((BEFORE + 2,), 99.0, device=DEVICE)
    at.rates[BEFORE] = 0.01  # of the step after so many
    own = {name: place.view(at.weights.params).clone() for name, place in at.weights.slots.items()}
    own = {name: torch.nn.Parameter(value) for name, value in own.items()}
    grads = step.grads()
    groups = [
        {"params": [one for one in own.values() if one.dim() > 1], "weight_decay": 0.3},
        {"params": [one for one in own.values() if one.dim() == 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=0.01, betas=(step.config.beta1, step.config.beta2))
    for name, one in own.items():
        one.grad = grads[name].float()
        adam.state[one] = {"step": torch.tensor(float(BEFORE))}
        adam.state[one] |= {
            kind: torch.zeros_like(one, requires_grad=False) for kind in ("exp_avg", "exp_avg_sq")
        }
    adam.step()
    at.step_counter.copy_(torch.tensor([BEFORE, 1]))
    at.step(step.tokens)
    for name, place in at.weights.slots.items():
        found = place.view(at.weights.params)
        torch.testing.assert_close(found, own[name].detach(), rtol=1e-5, atol=1e-6, msg=name)
    names = {feature.table for feature in FEATURES} & set(own)
    assert not any(at.weights.slots[name].view(at.weights.params)[0].any() for name in names)
    copy = at.weights.fp16.clone()
    at.weights.refresh_fp16()
    assert torch.equal(copy, at.weights.fp16)


def test_shares_of_a_smoothed_target_are_not_lost_in_half_floats():
    """Of 20,000 items each has a share of 5e-7, eight times the smallest half float."""
    n, n_items, width, smoothing = 64, 20_000, 16, 0.01
    items = torch.zeros(n_items + 1, width, dtype=torch.float16, device=DEVICE)
    items[7, 0] = 30
    features = torch.zeros(n, 24, dtype=torch.float16, device=DEVICE)
    features[:, 0] = 1  # whose target has all of the probability
    ints = {"dtype": torch.int32, "device": DEVICE}
    meta = torch.tensor([[0, n], [0, 0], [1, 0], [1, 0]], **ints)
    sequence, targets = torch.zeros(n, **ints), torch.full((n,), 7, **ints)
    logs, parts = torch.zeros(n, 2, device=DEVICE), torch.zeros(1, n_items + 1, 16, device=DEVICE)
    shared = meta, torch.zeros(1, 1, **ints), sequence, features, items, targets
    sizes = {"EXCLUDE_SEEN": False, "SMOOTHING": smoothing, "B": 1, "W": width, "WP": 16, "K": 24}
    sizes |= {"S": 16, "BM": 64, "BN": 128}
    losses, by_features = torch.zeros(1, device=DEVICE), torch.zeros_like(features)
    softmax.feature_grad[(1,)](*shared, by_features, logs, losses, n_items, 1, **sizes)
    softmax.item_grad[(-(-(n_items + 1) // 128), 1)](*shared, logs, parts, n_items, 1, **sizes)
    # 30 is reached by one item, and by a share of the target
    expected = math.log(1 + (n_items - 1) * math.exp(-30)) + 30 * smoothing * (1 - 1 / n_items)
    assert losses.item() == pytest.approx(n * expected, rel=1e-4)
    assert parts[0, 1, 0].item() == pytest.approx(-n * smoothing / n_items, rel=1e-3)
    whole = n * (smoothing - smoothing / n_items)
    assert parts[0, 7, 0].item() == pytest.approx(whole, rel=1e-3)
    assert parts[0, 0].abs().sum() == 0


def test_places_in_windows_take_few_bytes():
    kinds = [first_seen.type_of_places(length) for length in (1, 254, 255, 32_766, 32_767)]
    assert kinds == [torch.uint8, torch.uint8, torch.int16, torch.int16, torch.int32]


def test_rows_of_intervals_are_more_than_16_bits_hold():
    config = resolve("sas_fpt", "paper", {"max_length": 16, "time_span": 40_000, "blocks": 1})
    space = Workspace(config, 16, aligned(40_001), torch.float16, DEVICE, train=False)
    times = torch.tensor([0, 7, 39_999, 90_000], dtype=torch.int32, device=DEVICE)
    meta = torch.tensor([[0, 4], [0, 0], [1, 0], [1, 0]], dtype=torch.int32, device=DEVICE)
    attention.pair_rows[(1, 1)](
        *(meta, times, times, times, space.pair_rows),
        **{"B": 1, "TS": 16, "SPAN": 40_000, "EDGES": 0, "BM": 16, "BN": 16},
    )
    found = [row[: place + 1] for place, row in enumerate(space.pair_rows.tolist()[:4])]
    assert found == [[0], [7, 0], [39_999, 39_992, 0], [40_000, 40_000, 40_000, 0]]


@pytest.mark.parametrize("width", [64, 256, 264, 512])
def test_a_tile_of_gradients_fits_into_shared_memory(width, monkeypatch):
    """A tile in float32, or the stages of what is multiplied: an A100 has 163 KiB for a program."""
    monkeypatch.setattr(products, "TILE", 128)
    memory = torch.zeros(64, width, dtype=torch.float16)
    jobs = Jobs([Job(memory, memory, 0, width, width, width)])
    at_once = jobs.stages * 64 * (jobs.rows + jobs.width) * 2
    assert max(jobs.rows * jobs.width * 4, at_once) <= 163 << 10
    assert len(jobs.table) == -(-width // jobs.rows)


@pytest.mark.parametrize("heads", [2, 8, 16])
def test_adam_leaves_the_copy_that_products_read(heads, long_histories):
    """Width 32: heads of 16 stand where 16 bytes do, those of 4 and 2 lie apart."""
    step = Step(long_histories, "tisasrec", heads=heads, item_width=32)
    at = step.engine
    at.meta[0, -1] = 5  # tokens
    at.key[2] = 1
    at.product_parts.normal_()
    before = at.weights.fp16.clone()
    update(at, step.at, 0)
    after = at.weights.fp16.clone()
    at.weights.refresh_fp16()
    assert torch.equal(after, at.weights.fp16)
    assert (after != before).float().mean() > 0.1
