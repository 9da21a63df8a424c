"""The HSTU-like block: the paper's formula pair by pair, and which engines train it."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from fpt_model.config import resolve
from fpt_model.data.sequences import load
from fpt_model.engines import choose as engines
from fpt_model.engines import contract
from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import read, write
from fpt_model.files.finished import BEST
from fpt_model.model.intervals import interval_rows
from fpt_model.serving.explain import attention_of
from fpt_model.training.ranking import load_model
from fpt_model.training.trainer import trainer_of

SEEDS = range(4)


@pytest.fixture
def model_of(small_config, encoder):
    def make(**overrides):
        return encoder(small_config("hstu", max_length=7, **overrides))

    return make


def visible(windows, b: int, i: int, mask: str) -> list[int]:
    """The places that place i of window b looks at."""
    return [j for j in range(i + 1) if mask == "queries" or windows.items[b, j] > 0]


def row_of(model, windows, b: int, i: int, j: int) -> int:
    """The bucket of the gap from j to i."""
    time = windows.times[b, j] if windows.items[b, j] else -windows.scales[b]
    gap = (windows.query_times[b, i] - time).abs() // windows.scales[b]
    return int(interval_rows(gap, model.config.time_span, model.edges))


def hstu_pair_by_pair(model, windows, b: int):
    """Features (T, D) and weights (blocks, H, T, T) of one window, as the paper writes them."""
    config, length = model.config, windows.items.shape[1]
    width = config.width // config.heads
    embedded = model._embed(windows)[b]
    first = config.max_length - length
    x = embedded + torch.stack([model.positions[0][first + t] for t in range(length)])
    found = torch.zeros(config.blocks, config.heads, length, length, dtype=x.dtype)
    for number, block in enumerate(model.blocks):
        if config.mask == "queries":
            x = torch.stack([x[t] * bool(windows.items[b, t]) for t in range(length)])
        distance_bias = block.distance_bias.view(config.heads, config.max_length)
        if config.intervals:
            interval_bias = block.interval_bias.view(config.heads, -1)
        normal = block.norm_input(x)
        u, v, q, k = (
            F.silu(normal @ layer.weight.T + layer.bias)
            for layer in (block.gate, block.value, block.query, block.key)
        )
        rows = []
        for i in range(length):
            parts = []
            for h in range(config.heads):
                part = slice(h * width, (h + 1) * width)
                total = torch.zeros(width, dtype=x.dtype)
                for j in visible(windows, b, i, config.mask):
                    score = q[i, part] @ k[j, part] + distance_bias[h, i - j]
                    if config.intervals:
                        score = score + interval_bias[h, row_of(model, windows, b, i, j)]
                    weight = score / (1 + torch.exp(-score)) / config.max_length
                    found[number, h, i, j] = weight.detach()
                    total = total + weight * v[j, part]
                parts.append(total)
            gated = block.norm_attended(torch.cat(parts)) * u[i]
            rows.append(block.output(gated) + x[i])
        x = torch.stack(rows)
    return model.norm(x), found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"heads": 2, "overflow_rows": 3},
        {"heads": 2, "intervals": False},
        {"heads": 2, "mask": "queries", "week_width": 2, "user_width": 4, "rating_width": 2},
    ],
    ids=["one head", "two heads, overflow", "without intervals", "all inputs, mask queries"],
)
def test_features_and_gradients_are_those_of_a_loop_over_pairs(settings, model_of, random_windows):
    """Looked back at from later moments than the interactions' own."""
    model = model_of(**settings)
    for seed in SEEDS:
        windows = random_windows(seed, real=2)
        later = torch.arange(6) * windows.scales[:, None] * (windows.items > 0)
        windows = replace(windows, query_times=windows.times + later)
        real = windows.items > 0
        naive = torch.stack([hstu_pair_by_pair(model, windows, b)[0] for b in range(3)])
        features = model(windows)
        torch.testing.assert_close(features[real], naive[real])
        upstream = torch.randn_like(features)[real]
        named = dict(model.named_parameters())
        ours, theirs = (
            torch.autograd.grad(some[real], list(named.values()), upstream, retain_graph=True)
            for some in (features, naive)
        )
        for name, one, other in zip(named, ours, theirs, strict=True):
            torch.testing.assert_close(one, other, msg=name)


def test_an_explanation_has_shares_of_the_weights_without_their_signs(model_of, random_windows):
    model = model_of(heads=2)
    negative = 0
    for seed in SEEDS:
        windows = random_windows(seed, real=2)
        with torch.no_grad():
            shares = attention_of(model, windows)  # (B, blocks, H, T)
            for b in range(3):
                weights = hstu_pair_by_pair(model, windows, b)[1][:, :, -1]  # (blocks, H, T)
                negative += int((weights < 0).sum())
                sums = weights.abs().sum(2, keepdim=True)
                torch.testing.assert_close(shares[b], weights.abs() / sums)
        torch.testing.assert_close(shares.sum(3), torch.ones(3, 2, 2, dtype=torch.float64))
    assert negative


def test_weights_are_no_shares_but_grow_with_what_is_seen(model_of, random_windows):
    """Two equal items weigh twice what one does: a softmax could not tell."""
    model, weights = model_of(blocks=1, intervals=False), []
    block = model.blocks[0]
    with torch.no_grad():
        block.distance_bias.zero_()
        model.positions[0].zero_()
    windows = random_windows(0, real=6)
    windows = replace(windows, items=torch.tensor([[0, 0, 0, 0, 0, 9], [0, 0, 9, 9, 9, 9]]))
    windows = replace(windows.select(torch.tensor([0, 1])), items=windows.items)

    def watch(x, site):
        if site.endswith(".attention"):
            weights.append(x[:, 0, -1].sum(1))
        return x

    model(windows, dropout=watch)
    one, four = weights[0]
    torch.testing.assert_close(four, 4 * one)


def test_it_has_as_many_weights_as_sasrec_but_for_its_biases(encoder):
    """4 + 1 matrices a block, where the other has 3 + 2."""
    counts = {
        slug: sum(p.numel() for p in encoder(resolve(slug, "paper")).parameters())
        for slug in ("sasrec", "hstu")
    }
    assert counts["hstu"] - counts["sasrec"] == 2 * (50 + 257)


def test_biases_start_at_zero_and_learn(learnable, make_sequences, learnable_rows, small_config):
    trainer = trainer_of(small_config("hstu", heads=2), 0, make_sequences(learnable_rows, 30))
    biases = [p for name, p in trainer.model.named_parameters() if name.endswith("l_bias")]
    assert len(biases) == 2
    assert not any(bias.any() for bias in biases)
    trainer.step()
    assert all(bias.any() for bias in biases)


def test_auto_takes_the_reference_trainer_wherever_it_is(small_config, monkeypatch):
    monkeypatch.setattr(contract, "find_spec", lambda _: True)
    config = small_config("hstu")
    for device in ("cpu", "cuda"):
        for engine in ("auto", "reference"):
            assert engines.engine_of(engine, config, torch.device(device)) == "reference"


@pytest.mark.parametrize(
    ("engine", "device"), [("cpu", "cpu"), ("jagged", "cuda"), ("multiseed", "cuda")]
)
def test_fast_engines_refuse_it_in_words(engine, device, small_config, monkeypatch):
    monkeypatch.setattr(contract, "find_spec", lambda _: True)
    says = rf"The {engine} engine can't train this: got .*block hstu.*attention.*engine reference"
    with pytest.raises(ModelError, match=says):
        engines.engine_of(engine, small_config("hstu"), torch.device(device))
    assert engines.engine_of(engine, small_config("sasrec"), torch.device(device)) == engine


def test_an_unknown_block_is_refused():
    with pytest.raises(ModelError, match="Unknown block: got 'mamba', expected attention or hstu"):
        resolve("hstu", "paper", {"block": "mamba"})


@pytest.fixture
def hstu_run(learnable, train_small, tmp_path):
    """The sequences and a finished small training of two heads."""
    ended = train_small(learnable, tmp_path / "run", "hstu", heads=2)
    assert ended.code == 0
    assert ended.of("start")[0]["engine"] == "reference"
    return learnable, tmp_path / "run"


def test_its_training_is_asked_like_any_other(hstu_run, run_command, tmp_path):
    sequences, run = hstu_run
    words = ("--sequences", sequences, "--run", run, "--device", "cpu")
    assert run_command("evaluate", *words).code == 0
    asked, found = tmp_path / "asked.json", tmp_path / "found.parquet"
    asked.write_text(json.dumps([{"user_id": 1}, {"user_id": 2}]))
    words += ("--asked", asked, "--output", found)
    assert run_command("recommend", *words, "--top", 3).of("done")[0]["rows"] == 6
    assert run_command("explain", *words).code == 0
    looks = pq.read_table(found).group_by(["asked", "block"]).aggregate([("weight", "sum")])
    assert len(looks) == 4
    assert looks["weight_sum"].to_pylist() == pytest.approx([1.0] * 4)


def test_a_run_of_before_there_were_other_blocks_is_read(learnable, train_small, tmp_path):
    """Its weights' file says all settings but `block`."""
    run = tmp_path / "run"
    assert train_small(learnable, run, "sas_fpt").code == 0
    sequences, state = load(learnable), read(run / BEST)
    assert state.facts["order"]["config"].pop("block") == "attention"
    now = load_model(run, sequences)
    write(run / BEST, state)
    before = load_model(run, sequences)
    assert before.config == now.config
    assert all(map(torch.equal, before.state_dict().values(), now.state_dict().values()))


def test_a_fast_engine_that_was_asked_for_says_so_in_the_command(
    learnable, train_words, run_command, tmp_path
):
    words = train_words(learnable, tmp_path / "run", "hstu")
    ended = run_command(*words, "--engine", "cpu")
    assert ended.code == 2
    assert "got block hstu, expected block attention" in ended.stderr
    assert "Use --engine reference" in ended.stderr
