"""The public TiSASRec.pytorch: its equations, its state dict, its code where it is here."""

import importlib.util
import math
import os
import pickle
from argparse import Namespace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.config import resolve
from fpt_model.data.sequences import SequenceBatch
from fpt_model.engines.choose import engine_of
from fpt_model.errors import ModelError
from fpt_model.model.encoder import Encoder
from fpt_model.training.importer import read_weights

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "import-tisasrec.md"
ITEMS, LENGTH, WIDTH, SPAN, BLOCKS = 30, 9, 8, 16, 2


def published(n_items: int = ITEMS, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict as the public code saves it, all of a size at which it matters."""
    shapes = {
        "item_emb.weight": (n_items + 1, WIDTH),
        "abs_pos_K_emb.weight": (LENGTH, WIDTH),
        "abs_pos_V_emb.weight": (LENGTH, WIDTH),
        "time_matrix_K_emb.weight": (SPAN + 1, WIDTH),
        "time_matrix_V_emb.weight": (SPAN + 1, WIDTH),
        "last_layernorm.weight": (WIDTH,),
        "last_layernorm.bias": (WIDTH,),
    }
    for block in range(BLOCKS):
        for name in ("attention_layernorms.{}", "forward_layernorms.{}"):
            for part in ("weight", "bias"):
                shapes[f"{name.format(block)}.{part}"] = (WIDTH,)
        for name in ("Q_w", "K_w", "V_w"):
            shapes[f"attention_layers.{block}.{name}.weight"] = (WIDTH, WIDTH)
            shapes[f"attention_layers.{block}.{name}.bias"] = (WIDTH,)
        for name in ("conv1", "conv2"):
            shapes[f"forward_layers.{block}.{name}.weight"] = (WIDTH, WIDTH, 1)
            shapes[f"forward_layers.{block}.{name}.bias"] = (WIDTH,)
    chance = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=chance) * 0.4 for name, shape in shapes.items()}


@pytest.fixture
def save(tmp_path):
    """Write something as a checkpoint."""

    def write(content: object) -> Path:
        torch.save(content, tmp_path / "public.pth")
        return tmp_path / "public.pth"

    return write


@pytest.fixture
def imported(save):
    """Our model with the weights of a published state dict."""

    def make(weights: dict[str, torch.Tensor], heads: int = 1, mask: str = "queries") -> Encoder:
        config, tensors = read_weights(save(weights), heads)
        assert config.mask == "queries"
        config = resolve("tisasrec", "paper", config_changes(config) | {"mask": mask})
        model = Encoder(config, len(tensors["items.weight"]) - 1, 0, tensors["edges"])
        model.load_state_dict(tensors)
        return model.eval()

    return make


def config_changes(config) -> dict:
    return {k: v for k, v in config.to_dict().items() if k not in ("model", "preset")}


def windows(reals: list[int], seed: int = 1) -> SequenceBatch:
    """One window for each number of real places; gaps are multiples of the user's scale."""
    chance = np.random.default_rng(seed)
    items = chance.integers(1, ITEMS + 1, (len(reals), LENGTH))
    steps = chance.integers(0, 5, (len(reals), LENGTH)).cumsum(1)
    for row, real in enumerate(reals):
        items[row, : LENGTH - real] = 0
        steps[row] = np.where(items[row] > 0, steps[row] - steps[row, LENGTH - real], 0)
    scales = chance.integers(1, 9, len(reals))
    times = torch.from_numpy(steps * scales[:, None])
    return SequenceBatch(
        items=torch.from_numpy(items),
        times=times,
        weeks=torch.zeros(items.shape, dtype=torch.int64),
        ratings=torch.zeros(items.shape, dtype=torch.int64),
        users=torch.ones(len(reals), dtype=torch.int64),
        scales=torch.from_numpy(scales),
        query_times=times,
        ends=torch.tensor(reals),
    )


def public_intervals(windows: SequenceBatch) -> np.ndarray:
    """What its preparation gives: times count from 1 in units of the scale, padding is at 0."""
    times = (windows.times // windows.scales[:, None] + 1).numpy()
    times = np.where(windows.items.numpy() > 0, times, 0)
    return np.minimum(np.abs(times[:, :, None] - times[:, None, :]), SPAN)


def public_features(weights: dict, items: np.ndarray, intervals: np.ndarray, heads: int):
    """The published equations for one window, a place at a time, in float64: (T, D)."""
    w = {name: value.double().numpy() for name, value in weights.items()}
    part, real = WIDTH // heads, items > 0
    x = w["item_emb.weight"][items] * math.sqrt(WIDTH) * real[:, None]
    for b in range(BLOCKS):
        query = normalised(x, w, f"attention_layernorms.{b}")
        q, k, v = (
            y @ w[f"attention_layers.{b}.{name}.weight"].T + w[f"attention_layers.{b}.{name}.bias"]
            for y, name in ((query, "Q_w"), (x, "K_w"), (x, "V_w"))
        )
        seen = np.zeros_like(x)
        for i in np.flatnonzero(real):
            for head in range(heads):
                own = slice(head * part, (head + 1) * part)
                scores = [
                    q[i, own]
                    @ (
                        k[j, own]
                        + w["abs_pos_K_emb.weight"][j, own]
                        + w["time_matrix_K_emb.weight"][intervals[i, j], own]
                    )
                    / math.sqrt(part)
                    for j in range(i + 1)
                ]
                shares = np.exp(np.array(scores) - max(scores))
                for j, share in enumerate(shares / shares.sum()):
                    seen[i, own] += share * (
                        v[j, own]
                        + w["abs_pos_V_emb.weight"][j, own]
                        + w["time_matrix_V_emb.weight"][intervals[i, j], own]
                    )
        x = normalised(query + seen, w, f"forward_layernorms.{b}")
        hidden, out = (f"forward_layers.{b}.conv{n}" for n in (1, 2))
        inner = np.maximum(x @ w[f"{hidden}.weight"][:, :, 0].T + w[f"{hidden}.bias"], 0)
        x = (x + inner @ w[f"{out}.weight"][:, :, 0].T + w[f"{out}.bias"]) * real[:, None]
    return normalised(x, w, "last_layernorm")


def normalised(x: np.ndarray, w: dict, name: str) -> np.ndarray:
    centred = x - x.mean(1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-8)
    return unit * w[f"{name}.weight"] + w[f"{name}.bias"]


@pytest.mark.parametrize("heads", [1, 2])
def test_features_are_those_of_the_published_equations(heads, imported):
    some, weights = windows([LENGTH, LENGTH, 5, 2, 1]), published()
    with torch.no_grad():
        ours = imported(weights, heads)(some).numpy()
    intervals = public_intervals(some)
    for row, items in enumerate(some.items.numpy()):
        theirs = public_features(weights, items, intervals[row], heads)
        np.testing.assert_allclose(ours[row][items > 0], theirs[items > 0], atol=1e-5)


def test_masked_keys_are_the_same_in_full_windows_alone(imported):
    some, weights = windows([LENGTH, LENGTH, 5, 2]), published()
    with torch.no_grad():
        queries, keys = (imported(weights, mask=mask)(some) for mask in ("queries", "keys"))
        last = imported(weights)(some, latest=1)
    torch.testing.assert_close(keys[:2], queries[:2], atol=1e-6, rtol=0)
    assert (keys[2:, -1] - queries[2:, -1]).abs().amax(1).min() > 0.01
    torch.testing.assert_close(last[:, -1], queries[:, -1], atol=1e-6, rtol=0)


def test_masked_queries_learn_by_the_reference_alone(learnable, train_small, tmp_path):
    config = resolve("sas_fpt", "paper", {"mask": "queries"})
    assert engine_of("auto", config, torch.device("cpu")) == "reference"
    ended = train_small(learnable, tmp_path / "run", mask="queries")
    assert ended.code == 0
    assert ended.of("start")[0]["engine"] == "reference"


@pytest.mark.parametrize("model", ["sasrec", "sse_pt", "sas_fpt"])
def test_padding_is_zero_before_each_block_with_masked_queries(model, small_config, encoder):
    """So neither the position nor the user of a padded place is seen."""
    some = windows([LENGTH - 1, 3])
    model = encoder(small_config(model, mask="queries", max_length=LENGTH), n_items=ITEMS)
    seen = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(some)
    for x in seen:
        assert x[some.items == 0].abs().max() == 0
        assert x[some.items > 0].abs().sum(1).min() > 0


def test_a_published_checkpoint_is_ranked_in_our_protocol(learnable, save, run_command, tmp_path):
    path, run = save(published()), tmp_path / "run"
    words = ("--sequences", learnable, "--output", run, "--heads", 2)
    assert run_command("import", "--checkpoint", path, *words).code == 0
    ended = run_command("evaluate", "--sequences", learnable, "--run", run, "--device", "cpu")
    assert ended.code == 0
    assert ended.of("done")[0]["rows"] == len(pq.read_table(run / "ranks.parquet")) > 0
    again = run_command("import", "--checkpoint", path, *words)
    assert "run is in use" in again.stderr


def test_the_page_works_as_written(learnable, save, run_command, tmp_path):
    names = {"TiSASRec.pth": save(published()), "sequences-3f2a.parquet": learnable}
    names |= {"run": tmp_path / "run"}
    lines = [line.split() for line in PAGE.read_text().splitlines() if line.startswith("python -m")]
    assert [words[3] for words in lines] == ["import", "evaluate"]
    for words in lines:
        assert run_command(*(names.get(word, word) for word in words[3:])).code == 0


def test_rows_of_the_key_table_that_are_never_reached_are_left_out(save):
    """The public checkpoint has item_num + 1 of them."""
    weights = published()
    keys = weights["time_matrix_K_emb.weight"]
    weights["time_matrix_K_emb.weight"] = torch.cat([keys, torch.ones(7, WIDTH)])
    config, tensors = read_weights(save(weights))
    assert config.time_span == SPAN
    assert torch.equal(tensors["intervals.0"], keys)


def without(name: str):
    return {key: value for key, value in published().items() if key != name}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (without("item_emb.weight"), "item_emb.weight is missing"),
        (without("attention_layers.1.Q_w.bias"), "attention_layers.1.Q_w.bias is missing"),
        (published() | {"dev": torch.zeros(1)}, "dev is unknown"),
        (
            published() | {"forward_layers.0.conv1.weight": torch.zeros(WIDTH, WIDTH)},
            "forward_layers.0.conv1.weight is float32[8, 8] instead of float32[8, 8, 1]",
        ),
        (
            published() | {"last_layernorm.bias": torch.zeros(WIDTH, dtype=torch.float64)},
            "last_layernorm.bias is float64[8] instead of float32[8]",
        ),
        (
            published() | {"abs_pos_V_emb.weight": torch.zeros(3, WIDTH)},
            "abs_pos_V_emb.weight is float32[3, 8] instead of float32[9, 8]",
        ),
        (
            published() | {"last_layernorm.bias": torch.full((WIDTH,), math.nan)},
            "last_layernorm.bias is not finite",
        ),
        (published() | {"item_emb.weight": torch.zeros(0)}, "item_emb.weight is float32[0]"),
        ([1, 2], "no tensors by name"),
        ({"item_emb.weight": "text"}, "no tensors by name"),
    ],
)
def test_other_names_and_shapes_are_refused_with_the_difference(content, says, save):
    with pytest.raises(ModelError) as caught:
        read_weights(save(content))
    assert "public.pth is no state dict of TiSASRec.pytorch" in str(caught.value)
    assert says in str(caught.value)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x, 2))]
)
def test_a_malicious_checkpoint_is_not_executed(write, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "bad.pth"
    write({"item_emb.weight": Malicious(trace)}, path)
    with pytest.raises(ModelError, match=r"bad\.pth is no state dict"):
        read_weights(path)
    assert not trace.exists()


def test_a_file_that_is_none_and_other_items_are_refused(learnable, save, run_command, tmp_path):
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(save(published()).read_bytes()[:900])
    for path, says in (
        (tmp_path / "nowhere.pth", "No file"),
        (damaged, "is no state dict"),
        (save(published(n_items=12)), "knows other items: got 12, expected 30"),
    ):
        words = ("--sequences", learnable, "--output", tmp_path / "run")
        ended = run_command("import", "--checkpoint", path, *words)
        assert ended.code == 2
        assert says in ended.stderr


@pytest.fixture
def public_code():
    """The module model.py of a checkout."""
    folder = os.environ.get("FPT_TISASREC")
    if not folder:
        pytest.skip("FPT_TISASREC names no checkout of github.com/pmixer/TiSASRec.pytorch")
    spec = importlib.util.spec_from_file_location("tisasrec_public", Path(folder, "model.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("heads", [1, 2])
def test_features_are_those_of_the_public_code(heads, public_code, imported):
    settings = Namespace(
        maxlen=LENGTH,
        hidden_units=WIDTH,
        num_blocks=BLOCKS,
        num_heads=heads,
        dropout_rate=0.2,
        time_span=SPAN,
        device="cpu",
    )
    theirs = public_code.TiSASRec(1, ITEMS, ITEMS, settings).eval()
    theirs.load_state_dict(published())
    some = windows([LENGTH, LENGTH, 7, 5, 2, 1])
    with torch.no_grad():
        features = theirs.seq2feats(None, some.items.numpy(), public_intervals(some))
        ours = imported(theirs.state_dict(), heads)(some)
    real = some.items > 0
    torch.testing.assert_close(ours[real], features[real], atol=1e-5, rtol=0)
