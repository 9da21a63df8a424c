"""The hand-written step against the reference, and its promises: seeds, threads, resuming."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from fpt_model.config import VARIANTS, resolve
from fpt_model.data.sequences import SequenceBatch
from fpt_model.engines.choose import engine_of
from fpt_model.engines.cpu import by_item as by_item_module
from fpt_model.engines.cpu import products as products_of_weights
from fpt_model.engines.cpu import training as threaded_module
from fpt_model.engines.cpu.attention import attention_mask
from fpt_model.engines.cpu.by_item import by_item
from fpt_model.engines.cpu.forward_backward import ForwardBackward
from fpt_model.engines.cpu.limits import refuses
from fpt_model.engines.cpu.loss import bce, softmax
from fpt_model.engines.cpu.pairs import Pairs, products, products_of_each, sums_by_query
from fpt_model.engines.cpu.products import linear, linear_onto, outer_sum
from fpt_model.engines.cpu.rng import Rng, dropout_factors
from fpt_model.engines.cpu.training import micro_batches
from fpt_model.engines.cpu.unclipped import UnclippedPairs, UnclippedPairsByItem, unclipped_pairs
from fpt_model.engines.cpu.weights import table_factors, weights_of
from fpt_model.errors import ModelError
from fpt_model.model.intervals import interval_rows, scaled_intervals
from fpt_model.model.losses import bce_loss, softmax_loss
from fpt_model.training.trainer import trainer_of

CPU = torch.device("cpu")
SLUGS = [slug for slug in VARIANTS if not refuses(resolve(slug, "paper"), CPU)]


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_latest_position_alone_has_the_features_it_has_among_all(
    slug, blocks, heads, encoder, small_config, random_windows
):
    model = encoder(small_config(slug, heads=heads, blocks=blocks))
    weights = weights_of(model, training=False)
    windows = random_windows(4, batch=7)
    with torch.no_grad():
        every = ForwardBackward(model, weights, windows, None).forward()
        latest = ForwardBackward(model, weights, windows, None).latest()
        known = by_item(model.config, weights)
        assert (known is not None) == (slug in ("tisasrec", "tisasrec_plus"))
        again = ForwardBackward(model, weights, windows, None).latest(known)
    torch.testing.assert_close(latest, every.view(7, 6, -1)[:, -1])
    torch.testing.assert_close(again, latest)


def test_products_of_items_with_intervals_take_bounded_memory(encoder, small_config, monkeypatch):
    model = encoder(small_config("tisasrec"))
    weights = weights_of(model, training=False)
    assert by_item(model.config, weights) is not None
    monkeypatch.setattr(by_item_module, "PRODUCTS", len(weights.items) * 16 - 1)
    assert by_item(model.config, weights) is None


@pytest.mark.parametrize("heads", [1, 2])
def test_full_windows_have_the_mask_that_others_have(heads):
    padded = torch.tensor([0, 2])
    some = attention_mask(padded, 5, 3, heads, torch.float32)
    full = attention_mask(padded[:1], 5, 3, heads, torch.float32)
    assert full.equal(some[:heads])
    assert not some[heads:].equal(some[:heads])


def test_chance_keeps_the_share_asked_for_by_its_key():
    like = torch.empty(300, 700)
    kept = Rng(0.2, 1, 2, 3).keep_mask(like)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    # five standard deviations of a share
    assert kept.mean().item() == pytest.approx(0.8, abs=5 * (0.16 / like.numel()) ** 0.5)
    assert kept.equal(Rng(0.2, 1, 2, 3).keep_mask(like))
    for key in ((1, 2, 4), (2, 1, 3), (1, 2)):
        agree = (kept == Rng(0.2, *key).keep_mask(like)).float().mean().item()
        assert agree == pytest.approx(0.8**2 + 0.2**2, abs=0.01)
    drawn = Rng(0.0, 5).uniform((200, 500))
    assert 0 <= drawn.min() < 0.001
    assert 0.999 < drawn.max() < 1


def test_dropout_of_tables_keeps_the_share_asked_for_and_the_mean():
    torch.manual_seed(2)
    for rate in (0.1, 0.5, 0.9):
        factors = dropout_factors(torch.empty(200_000), rate)
        kept = factors > 0
        # five standard deviations of a share
        assert kept.double().mean().item() == pytest.approx(
            1 - rate, abs=5 * (rate * (1 - rate) / len(factors)) ** 0.5
        )
        expected = torch.full_like(factors[kept], 1 / (1 - rate))
        torch.testing.assert_close(factors[kept], expected, rtol=2e-4, atol=0)


def test_products_and_sums_of_pairs_are_those_of_copied_rows():
    """Of queries without any pair, and rows more than once."""
    g = torch.Generator().manual_seed(3)
    counts = torch.tensor([2, 0, 3, 1, 0])
    queries = torch.arange(5).repeat_interleave(counts)
    rows = torch.randint(0, 4, (6,), generator=g)
    x, table = (torch.randn(n, 3, generator=g, dtype=torch.float64) for n in (5, 4))
    weights = torch.randn(6, generator=g, dtype=torch.float64)
    pairs = Pairs(rows.int(), F.pad(counts.cumsum(0), (1, 0)).int(), queries.int(), 4)
    torch.testing.assert_close(products(pairs, x, table), (x[queries] * table[rows]).sum(1))
    by_query = torch.zeros_like(x).index_add(0, queries, weights[:, None] * table[rows])
    torch.testing.assert_close(sums_by_query(pairs, weights, table), by_query)
    own = torch.randint(0, 4, (5, 7), generator=g)
    torch.testing.assert_close(products_of_each(x, table, own), (x[:, None] * table[own]).sum(2))


def test_pairs_that_come_again_have_the_products_that_others_have():
    """More pairs than queries times rows: a sparse matrix has no place for them."""
    x, table = torch.randn(2, 3), torch.randn(2, 3)
    rows = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 1, 0, 0]])
    expected = (x[:, None] * table[rows]).sum(2)
    torch.testing.assert_close(products_of_each(x, table, rows), expected)


@pytest.mark.parametrize("by_onednn", [True, False])
def test_either_library_gives_the_products_of_weights(by_onednn, monkeypatch):
    monkeypatch.setattr(products_of_weights, "by_onednn", lambda: by_onednn)
    g = torch.Generator().manual_seed(5)
    x, others, weight, bias = (
        torch.randn(*shape, generator=g) for shape in ((7, 5), (7, 3), (3, 5), (3,))
    )
    plain = x @ weight.T + bias
    assert (plain < 0).any()
    close = torch.testing.assert_close
    close(linear(x, weight, bias), plain)
    close(linear(x, weight, bias, relu=True), plain.clamp(min=0))
    close(linear(others, weight.T), others @ weight)  # rows and columns changed
    close(linear_onto(x, weight, others.clone()), plain - bias + others)
    close(outer_sum(others, x), others.T @ x)
    double = linear(x.double(), weight.double())
    assert double.dtype == torch.float64
    close(double.float(), plain - bias)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t: avx2 avx512f\n", True),
        ("vendor_id\t: AuthenticAMD\nflags\t: avx2\n", False),
        ("vendor_id\t: GenuineIntel\nflags\t: avx2 avx512f\n", False),
        ("CPU implementer\t: 0x41\n", False),  # no x86: who multiplies there is not MKL
        (None, False),
    ],
)
def test_onednn_multiplies_where_mkl_keeps_to_avx2(known, expected, tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    if known is not None:
        cpuinfo.write_text(known)
    monkeypatch.setattr(products_of_weights, "_CPUINFO", cpuinfo)
    assert products_of_weights.by_onednn.__wrapped__() is expected
    monkeypatch.setattr(products_of_weights, "_onednn", None)
    assert not products_of_weights.by_onednn.__wrapped__()


def test_a_sparse_product_gives_no_warning():
    """PyTorch would warn people, at the first one, of what is not used here."""
    code = (
        "import fpt_model.engines.cpu.pairs as p, torch; one = torch.zeros(1, dtype=torch.int32)\n"
    )
    code += "p.products(p.Pairs(one, torch.tensor([0, 1]).int(), one, 1), *torch.ones(2, 1, 3))"
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert (found.returncode, found.stderr) == (0, b"")


def test_every_site_has_dropout_of_its_own(encoder, small_config, random_windows):
    model = encoder(small_config("tisasrec", dropout=0.5))
    weights = weights_of(model, True, table_factors(model))
    windows = random_windows(2, batch=40, real=6)
    forward_backward = ForwardBackward(model, weights, windows, Rng(0.5, 3))
    with torch.no_grad():
        forward_backward.forward()
    sites = [forward_backward.dropout]
    for block in forward_backward.blocks:
        sites += [block.attention.dropout, block.inner_dropout, block.outer_dropout]
    masks = [site.keep_mask.flatten()[:1000] for site in sites]
    assert all(0.4 < mask.mean().item() < 0.6 for mask in masks)
    for number, mask in enumerate(masks):
        for other in masks[:number]:
            assert 0.4 < (mask == other).double().mean().item() < 0.6


@pytest.mark.parametrize("kind", ["bce", "softmax", "softmax among the unseen"])
def test_losses_and_their_gradients_are_the_reference(kind, encoder, small_config):
    model = encoder(small_config("sas_fpt"))
    g = torch.Generator().manual_seed(4)
    features = torch.randn(3, 6, model.config.width, generator=g, dtype=torch.float64)
    features.requires_grad_()
    targets = torch.randint(0, 21, (3, 6), generator=g)
    negatives = torch.randint(1, 21, (3, 6), generator=g)
    count, items = int((targets > 0).sum()), model.items.weight
    flat = features.detach().flatten(0, 1), items.detach(), targets.flatten()
    if kind == "bce":
        expected = bce_loss(model, features, targets, negatives)
        found = bce(*flat, negatives.flatten(), count)
    else:
        seen = torch.rand(3, 6, 21, generator=g) < 0.4 if "unseen" in kind else None
        expected = softmax_loss(model, features, targets, seen)
        found = softmax(*flat, count, None if seen is None else seen.flatten(0, 1))
    d_features, d_items = torch.autograd.grad(expected, (features, items))
    torch.testing.assert_close(found[0], expected.detach())
    torch.testing.assert_close(found[1].view_as(features), d_features)
    torch.testing.assert_close(found[2][1:], d_items[1:])


def naive_pairs(windows, padded, time_span, edges, heads, latest):
    """Queries, rows and places of the unclipped pairs, one after the other."""
    intervals = scaled_intervals(windows.query_times, windows.times, windows.scales)
    rows = interval_rows(intervals, time_span, edges)  # (B, T, T)
    batch, length = windows.times.shape
    last, found = time_span + len(edges), []
    for b in range(batch):
        for h in range(heads):
            for n in range(latest):
                i, query = length - latest + n, (b * heads + h) * latest + n
                for j in range(min(int(padded[b]), i), i + 1):  # padding sees itself
                    row = int(rows[b, i, j])
                    if row < last:
                        found.append((query, h * last + row, query * length + j))
    return torch.tensor(found).T


@pytest.mark.parametrize("pause", [0, 100])  # nothing is near after so long a one
@pytest.mark.parametrize("latest", [1, 7])
@pytest.mark.parametrize("edges", [[], [8, 11]])
@pytest.mark.parametrize("heads", [1, 3])
def test_groups_of_unclipped_pairs_sum_what_the_pairs_do(heads, edges, latest, pause):
    g = torch.Generator().manual_seed(heads)
    moments = torch.randint(0, 6, (4, 8), generator=g).cumsum(1)  # many share a row
    times, asked = moments[:, :-1], moments[:, 1:] if latest > 1 else moments[:, :-1]
    padded, scales = torch.tensor([0, 3, 6, 1]), torch.tensor([2, 2, 1, 3])
    late = torch.tensor([0, 0, 1, 1])[:, None] * pause  # of the latest users
    asked = (asked + late).where(torch.arange(7) >= padded[:, None], times)
    windows = SequenceBatch(times, times, times, times, scales, scales, asked, scales)
    known = 5, torch.tensor(edges, dtype=torch.int64), heads, latest
    queries, rows, places = naive_pairs(windows, padded, *known)
    found = unclipped_pairs(windows, padded, *known)
    unclipped = UnclippedPairs(*found)
    assert pause or len(unclipped.groups.rows) < len(rows)
    assert unclipped.offsets.equal(places)
    assert unclipped.groups.rows.index_select(0, unclipped.group).equal(rows.int())
    assert unclipped.groups.queries.index_select(0, unclipped.group).equal(queries.int())
    x = torch.randn(4 * heads * latest, 3, generator=g, dtype=torch.float64)
    table = torch.randn(heads * (5 + len(edges)), 3, generator=g, dtype=torch.float64)
    scores = torch.randn(4 * heads, latest, 7, generator=g, dtype=torch.float64)
    weights = scores.flatten()[places]
    expected = scores.flatten().index_add(0, places, (x[queries] * table[rows]).sum(1))
    by_query = torch.zeros_like(x).index_add(0, queries, weights[:, None] * table[rows])
    by_row = torch.zeros_like(table).index_add(0, rows, weights[:, None] * x[queries])
    grouped = unclipped.by_group(scores)
    torch.testing.assert_close(unclipped.sums_by_query(grouped, table), by_query)
    torch.testing.assert_close(unclipped.sums_by_row(grouped, x), by_row)
    before = scores.clone()
    unclipped.add_products(scores, x, table)
    torch.testing.assert_close(scores.flatten(), expected)
    items = torch.arange(len(x), dtype=torch.int32).flip(0)  # each query's, and its products
    by_item = UnclippedPairsByItem(*found, items, x.flip(0) @ table.T)
    torch.testing.assert_close(by_item.sums_by_query(by_item.by_group(before), table), by_query)
    by_item.add_products(before)
    torch.testing.assert_close(before.flatten(), expected)


def test_intervals_are_exact_whatever_their_units():
    """Many lie at a whole multiple of the scale, or a second off it."""
    g = torch.Generator().manual_seed(0)
    scales = torch.tensor([1, 3, 49, 86_400, 10**9 + 7, 2**31])
    gaps = scales[:, None] * torch.randint(0, 90, (6, 49), generator=g)
    gaps = (gaps + torch.randint(-1, 2, (6, 49), generator=g)).clamp(min=0)
    times = F.pad(gaps.cumsum(1), (1, 0))
    none = torch.zeros(6, dtype=torch.int64)
    windows = SequenceBatch(times, times, times, times, none, scales, times, none)
    known = 256, none[:0], 1, 50
    _, rows, expected = naive_pairs(windows, none, *known)
    found, places = unclipped_pairs(windows, none, *known)
    assert len(places) > 6 * 50
    assert places.equal(expected)
    assert found.rows.equal(rows.int())


@pytest.fixture
def training_of(learnable_rows, make_sequences, small_config, monkeypatch):
    """A training of `learnable` in parts of two users, not begun."""
    monkeypatch.setattr(threaded_module, "SCORES", 2 * 8 * 8)
    monkeypatch.setattr(threaded_module, "FEWEST", 1)
    sequences = make_sequences(learnable_rows, 30)

    def make(model="sas_fpt", engine="cpu", seed=0, **settings):
        return trainer_of(small_config(model, **settings), seed, sequences, engine)

    return make


def finish(trainer):
    while not trainer.finished:
        while trainer.progress.step < trainer.steps:
            trainer.step()
        trainer.end_epoch()
    return trainer


def same(one, other) -> bool:
    weights = one.weights(), other.weights()
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_number_of_threads_changes_no_bit(slug, training_of, monkeypatch):
    alone, into, taken = finish(training_of(slug)), training_of(slug), []
    monkeypatch.setattr(threaded_module, "threads_now", lambda: taken.append(3) or 3)
    assert same(alone, finish(into))
    assert taken


def test_seeds_differ(slug, training_of):
    one, other = (finish(training_of(slug, seed=seed)) for seed in (0, 1))
    assert not same(one, other)


def test_parts_are_of_like_length_and_have_everybody_once(
    random_windows, small_config, monkeypatch
):
    windows = random_windows(0, batch=50)
    targets = windows.items + 1
    config = small_config("sasrec", max_length=100)  # so that parts are as small as can be
    owners = windows.users + 100
    parts = micro_batches(windows, targets, owners, config)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert len(parts) > 3
    lengths = [part.windows.items.shape[1] for part in parts]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 6
    monkeypatch.setattr(threaded_module, "LENGTHS", 3)  # so that products' shapes come again
    rounded = [
        part.windows.items.shape[1] for part in micro_batches(windows, targets, owners, config)
    ]
    assert rounded == [length + length % 2 for length in lengths]
    rows = [row for part in parts for row in part.windows.items.tolist()]
    shown = [[item for item in row if item] for row in rows]
    expected = [[item for item in row if item] for row in windows.items.tolist()]
    assert sorted(shown) == sorted(expected)
    assert all((part.targets == part.windows.items + 1).all() for part in parts)
    assert all((part.owners == part.windows.users + 100).all() for part in parts)


def test_a_score_that_is_no_number_is_refused(training_of):
    trainer = training_of()
    with torch.no_grad():
        trainer.model.items.weight[3] = float("nan")
    for protocols in (("uniform_100",), ("uniform_100", "full")):
        with pytest.raises(ModelError, match="score is not a number"):
            trainer.ranked("test", protocols)


def test_a_cpu_takes_it_and_a_gpu_cannot(small_config):
    config, cpu, gpu = small_config("tisasrec"), torch.device("cpu"), torch.device("cuda")
    assert [engine_of(name, config, cpu) for name in ("auto", "cpu", "reference")] == [
        "cpu",
        "cpu",
        "reference",
    ]
    with pytest.raises(ModelError, match="cpu engine can't"):
        engine_of("cpu", config, gpu)
