"""The encoder as all variants: what may look at what, what padding means, which inputs matter."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fpt_model.config import VARIANTS, resolve
from fpt_model.data.sequences import SequenceBatch
from fpt_model.model.encoder import Encoder
from fpt_model.serving.explain import attention_of

SEEDS = range(4)
ON_PAIRS = {"tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt"}
WITH_INTERVALS = ON_PAIRS | {"hstu"}
WITH_WEEKS = {"tisasrec_plus_plus", "sas_fpt"}
WITH_USERS = {"sas_fpt", "sse_pt"}
OLDER = Path(__file__).parent / "older" / "encoder-0.1.0.npz"


@pytest.fixture
def model_of(small_config, encoder):
    def make(slug: str, **overrides):
        return encoder(small_config(slug, max_length=6, **overrides))

    return make


@pytest.fixture
def differs(model_of):
    """Whether the variant's last output changes, for each of B users."""

    def compare(model, one, other) -> torch.Tensor:
        with torch.no_grad():
            return (model(one)[:, -1] - model(other)[:, -1]).abs().amax(1) > 1e-9

    return compare


def cut(windows, length: int):
    return replace(
        windows,
        items=windows.items[:, -length:],
        times=windows.times[:, -length:],
        weeks=windows.weeks[:, -length:],
        ratings=windows.ratings[:, -length:],
        query_times=windows.query_times[:, -length:],
    )


def moved(windows, times: torch.Tensor, **others: torch.Tensor):
    """The windows at other times, each place looking back from its own."""
    return replace(windows, times=times, query_times=times, **others)


@pytest.mark.parametrize(("heads", "rating_width"), [(1, 0), (2, 6)])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "hstu"])
def test_features_and_weights_are_those_of_the_papers(
    variant, heads, rating_width, model_of, random_windows, pair_by_pair
):
    """Rating and genres, which no paper has, are the last parts. HSTU: test_model_hstu.py."""
    genre_width = rating_width // 3
    settings = {"heads": heads, "rating_width": rating_width, "genre_width": genre_width}
    settings |= {"gap_width": rating_width, "depth_width": genre_width}
    model = model_of(variant, **settings)
    for seed in SEEDS:
        windows = random_windows(seed, real=2)
        with torch.no_grad():
            features, weights = model(windows), attention_of(model, windows)
            for b in range(3):
                real = windows.items[b] > 0
                expected, latest = pair_by_pair(model, windows, b)
                torch.testing.assert_close(features[b, real], expected)
                torch.testing.assert_close(weights[b][..., real], latest)
                assert not weights[b][..., ~real].any()


def test_what_comes_later_never_changes_an_earlier_output(slug, model_of, random_windows):
    model = model_of(slug)
    for seed in SEEDS:
        windows = random_windows(seed, real=6)
        for place in range(1, 6):
            early = torch.arange(6) < place
            changed = moved(
                windows,
                windows.times.where(early, windows.times * 3 + 50),
                items=windows.items.where(early, windows.items % 20 + 1),
                weeks=windows.weeks.where(early, windows.weeks % 52 + 1),
                ratings=windows.ratings.where(early, windows.ratings % 10 + 1),
            )
            with torch.no_grad():
                before, after = model(windows), model(changed)
            torch.testing.assert_close(before[:, :place], after[:, :place], atol=1e-12, rtol=0)
            assert ((before - after)[:, place:].abs().amax(2) > 1e-6).all()


def test_every_earlier_item_is_looked_at(slug, model_of, random_windows):
    model = model_of(slug)
    windows = random_windows(7, real=6)
    for place in range(6):
        items = windows.items.clone()
        items[:, place] = items[:, place] % 20 + 1
        with torch.no_grad():
            change = (model(windows) - model(replace(windows, items=items))).abs().amax(2)
        assert (change[:, place:] > 1e-9).all()


def test_order_matters(slug, model_of, differs, random_windows):
    windows = random_windows(2, real=6)
    swapped = replace(windows, items=windows.items[:, [1, 0, 2, 3, 4, 5]])
    assert differs(model_of(slug), windows, swapped).all()


@pytest.mark.parametrize("length", [1, 3, 5])
def test_padding_on_the_left_changes_nothing(slug, length, model_of, random_windows):
    model = model_of(slug)
    for seed in SEEDS:
        short = cut(random_windows(seed, real=6), length)
        padding = torch.zeros(3, 6 - length, dtype=torch.int64)
        padded = moved(
            short,
            torch.cat([padding, short.times], 1),
            items=torch.cat([padding, short.items], 1),
            weeks=torch.cat([padding, short.weeks], 1),
            ratings=torch.cat([padding, short.ratings], 1),
        )
        with torch.no_grad():
            torch.testing.assert_close(
                model(short), model(padded)[:, -length:], atol=1e-10, rtol=1e-10
            )


def test_what_stands_under_padding_changes_nothing(slug, model_of, random_windows):
    model = model_of(slug)
    windows = random_windows(1, batch=8)
    padded = windows.items == 0
    assert padded.any()
    noise = moved(
        windows,
        windows.times.where(~padded, 77_777),
        weeks=windows.weeks.where(~padded, 9),
        ratings=windows.ratings.where(~padded, 3),
    )
    with torch.no_grad():
        before, after = model(windows), model(noise)
    assert torch.isfinite(before).all()
    torch.testing.assert_close(before[~padded], after[~padded], atol=1e-12, rtol=0)


def test_neighbours_in_the_batch_change_nothing(slug, model_of, random_windows):
    model = model_of(slug)
    windows = random_windows(3, batch=5)
    with torch.no_grad():
        together = model(windows)
        for b in range(5):
            alone = model(windows.select(torch.tensor([b])))
            torch.testing.assert_close(together[b], alone[0], atol=1e-10, rtol=1e-10)


def test_gaps_matter_to_those_with_intervals(slug, model_of, differs, random_windows):
    model, windows = model_of(slug), random_windows(4, real=6)
    steady = moved(windows, torch.arange(6) * windows.scales[:, None])
    pause = moved(windows, steady.times + (torch.arange(6) > 2) * windows.scales[:, None])
    assert differs(model, steady, pause).tolist() == [slug in WITH_INTERVALS] * 3


def test_the_time_scale_matters_to_those_with_intervals(slug, model_of, differs, random_windows):
    model, windows = model_of(slug), random_windows(4, real=6)
    windows = moved(windows, torch.tensor([[0, 4, 8, 16, 32, 40]] * 3))
    one, two = (replace(windows, scales=torch.full((3,), scale)) for scale in (4, 8))
    assert differs(model, one, two).tolist() == [slug in WITH_INTERVALS] * 3
    doubled = moved(two, windows.times * 2)
    assert not differs(model, one, doubled).any()


def test_the_date_itself_matters_to_nobody(slug, model_of, differs, random_windows):
    windows = random_windows(4, real=6)
    later = moved(windows, windows.times + 10**9)
    assert not differs(model_of(slug), windows, later).any()


def test_intervals_past_the_clip_differ_only_with_overflow_rows(
    slug, model_of, differs, random_windows
):
    """Time span 16, edges 24, 40, 80: 20 and 23 share a row always, 20 and 50 without edges."""
    windows = replace(random_windows(4, real=6), scales=torch.ones(3, dtype=torch.int64))

    def last_gap(gap: int):
        return moved(windows, torch.tensor([[0, 0, 0, 0, 0, gap]] * 3))

    model = model_of(slug)
    assert not differs(model, last_gap(20), last_gap(23)).any()
    overflowing = slug in ON_PAIRS - {"tisasrec"}
    assert differs(model, last_gap(20), last_gap(50)).tolist() == [overflowing] * 3
    assert differs(model, last_gap(15), last_gap(16)).tolist() == [slug in WITH_INTERVALS] * 3


def test_weeks_matter_to_those_with_weeks(slug, model_of, differs, random_windows):
    model, windows = model_of(slug), random_windows(4, real=6)
    for place in (0, 5):
        weeks = windows.weeks.clone()
        weeks[:, place] = weeks[:, place] % 52 + 1
        differing = differs(model, windows, replace(windows, weeks=weeks))
        assert differing.tolist() == [slug in WITH_WEEKS] * 3


def test_a_rating_matters_from_its_place_on_to_those_with_ratings(slug, model_of, random_windows):
    windows = random_windows(4, real=6)
    ratings = windows.ratings.clone()
    ratings[:, 2] = ratings[:, 2] % 10 + 1
    for width in (0, 4):
        model = model_of(slug, rating_width=width)
        with torch.no_grad():
            change = (model(windows) - model(replace(windows, ratings=ratings))).abs().amax(2)
        assert ((change > 1e-9) == (torch.arange(6) >= 2) * (width > 0)).all()


def test_an_unknown_rating_adds_nothing(slug, model_of, random_windows):
    """Its columns are zero, whatever other ratings have become."""
    model = model_of(slug, rating_width=4)
    windows = random_windows(4, real=6)
    inputs = model._embed(replace(windows, ratings=torch.zeros_like(windows.ratings)))
    assert inputs[..., :-4].any()
    assert not inputs[..., -4:].any()


def test_genres_of_an_item_are_summed_and_of_none_are_zero(slug, small_config, random_windows):
    """Of items 1 to 4: the second, the first and the third, none, the third."""
    numbers = {"genres": torch.tensor([[0, 0], [2, 0], [1, 3], [0, 0], [3, 0]])}
    config = small_config(slug, genre_width=2)
    model = Encoder(config, 4, 5, torch.tensor([], dtype=torch.int64), numbers)
    assert model.genres.weight.shape == (4, 2)
    with torch.no_grad():
        model.genres.weight[1:] = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    windows = random_windows(0, batch=1, length=6, real=6)
    windows = replace(windows, items=torch.tensor([[0, 1, 2, 3, 4, 2]]))
    genres = model._embed(windows)[0, :, -2:] / math.sqrt(config.width)
    expected = [[0, 0], [2, 20], [5, 50], [0, 0], [4, 40], [5, 50]]
    torch.testing.assert_close(genres, torch.tensor(expected, dtype=torch.float32))
    genres.sum().backward()
    # as often as an item of that genre stands in the window; padding is none
    times = torch.tensor([0.0, 2.0, 1.0, 3.0])
    torch.testing.assert_close(model.genres.weight.grad, times[:, None].expand(-1, 2))


def test_users_matter_to_those_with_users(slug, model_of, differs, random_windows):
    model, windows = model_of(slug), random_windows(4, real=6)
    other = replace(windows, users=windows.users % 5 + 1)
    assert differs(model, windows, other).tolist() == [slug in WITH_USERS] * 3


def test_every_user_and_week_up_to_the_last_has_a_row(slug, model_of, random_windows):
    model = model_of(slug)
    windows = random_windows(0, batch=52, real=6)
    windows = replace(
        windows, users=torch.full((52,), 5), weeks=torch.arange(1, 53)[:, None].expand(52, 6)
    )
    assert model(windows).shape == (52, 6, model.config.width)


def test_every_parameter_is_trained_by_its_variant(slug, model_of, random_windows):
    model = model_of(slug).train()
    windows = random_windows(0, batch=6, real=6)
    (model.score_all(model(windows)) ** 2).sum().backward()
    untouched = [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0]
    assert untouched == []


def test_padding_rows_start_at_zero_and_get_no_gradient(slug, small_config, random_windows):
    config = small_config(slug, rating_width=4)
    model = Encoder(config, 20, 5, torch.tensor([], dtype=torch.int64))
    windows = random_windows(0, batch=6)
    model(windows)[windows.items > 0].square().sum().backward()
    tables = [model.items, model.ratings, model.weeks, model.users]
    there = [table for table in tables if table is not None]
    assert len(there) == 2 + (slug in WITH_WEEKS) + (slug in WITH_USERS)
    for table in there:
        assert not table.weight[0].any()
        assert not table.weight.grad[0].any()
        assert table.weight[1:].all(1).all()


@pytest.mark.parametrize("latest", [1, 4])
def test_the_latest_positions_alone_are_the_same(slug, latest, model_of, random_windows):
    model = model_of(slug, heads=2)
    for seed in SEEDS:
        windows = random_windows(seed, batch=5)
        with torch.no_grad():
            whole, part = model(windows), model(windows, latest=latest)
        torch.testing.assert_close(part, whole[:, -latest:])


def test_dropout_is_for_training_only(slug, model_of, random_windows):
    model, windows = model_of(slug), random_windows(0)
    with torch.no_grad():
        assert torch.equal(model(windows), model(windows))
        model.train()
        assert not torch.equal(model(windows), model(windows))


def test_given_dropouts_are_asked_for_by_site(slug, model_of, random_windows):
    """Each once, and what they leave is what goes on."""
    model, windows = model_of(slug, heads=2), random_windows(0)
    asked = {}

    def halved(x, site):
        assert site not in asked
        asked[site] = tuple(x.shape)
        return x / 2

    width, heads = model.config.width, model.config.heads
    with torch.no_grad():
        whole, half = model(windows), model(windows, dropout=halved)
    assert not torch.allclose(whole, half)
    expected = {"inputs": (3, 6, width)}
    for block in (f"blocks.{number}." for number in range(2)):
        sites = ("gated",) if slug == "hstu" else ("hidden", "output")
        expected |= {block + site: (3, 6, width) for site in sites}
        expected[block + "attention"] = (3, heads, 6, 6)
        if slug in ON_PAIRS:
            for kind in ("key", "value"):
                rows = 17 + len(model.edges)
                expected[f"{block}{kind}_intervals"] = (rows, width)
                expected[f"{block}{kind}_positions"] = (6, width)
    assert asked == expected


@pytest.mark.parametrize("mask", ["keys", "queries"])
def test_weights_of_version_0_1_give_the_scores_they_gave(mask):
    """Names, shapes and meaning of all weights stay: a file of before ranks as it did."""
    older = {name: torch.from_numpy(value) for name, value in np.load(OLDER).items()}
    sizes = {"item_width": 6, "week_width": 2, "user_width": 2, "rating_width": 2}
    sizes |= {"max_length": 7, "time_span": 9, "heads": 3, "mask": mask}
    weights = {n.removeprefix("weights."): x for n, x in older.items() if "weights." in n}
    windows = {n.removeprefix("windows."): x for n, x in older.items() if "windows." in n}
    windows["query_times"] = windows.pop("asked")  # as it was called then
    model = Encoder(resolve("sas_fpt", "paper", sizes), 12, 4, weights["edges"]).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        scores = model.score_all(model(SequenceBatch(**windows))[:, -1])
    torch.testing.assert_close(scores, older[f"scores.{mask}"])


def test_scores_are_products_with_the_items_vectors(slug, model_of):
    model = model_of(slug)
    features = torch.randn(2, 3, model.config.width, dtype=torch.float64)
    items = torch.tensor([[1, 20, 0], [7, 7, 3]])
    chosen = model.score(features, items)
    width = model.config.item_width
    for b in range(2):
        for t in range(3):
            expected = features[b, t, :width] @ model.items.weight[items[b, t]]
            torch.testing.assert_close(chosen[b, t], expected)
    every = model.score_all(features)
    assert every.shape == (2, 3, 21)
    torch.testing.assert_close(every.gather(2, items[..., None])[..., 0], chosen)


def test_the_penalised_tables_are_items_positions_and_intervals(slug, model_of):
    model = model_of(slug)
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    pairs = [f"{table}.{number}" for table in ("positions", "intervals") for number in (0, 1)]
    expected = ["items.weight", *(pairs if slug in ON_PAIRS else ["positions.0"])]
    assert [named[id(table)] for table in model.regularised()] == expected


def test_tables_have_the_sizes_of_the_paper():
    shapes = {}
    for slug in VARIANTS:
        config = resolve(slug, "paper")
        edges = torch.arange(300, 300 + config.overflow_rows)
        model = Encoder(config, n_items=30, n_users=9, edges=edges)
        shapes[slug] = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert shapes["sasrec"]["items.weight"] == (31, 50)
    assert shapes["sasrec"]["positions.0"] == (50, 50)
    assert shapes["tisasrec"]["intervals.1"] == (257, 50)  # 0 to 256
    assert shapes["tisasrec_plus"]["intervals.1"] == (260, 50)
    assert shapes["tisasrec_plus_plus"]["weeks.weight"] == (53, 25)
    assert shapes["sas_fpt"]["users.weight"] == (10, 25)
    assert shapes["sas_fpt"]["blocks.1.query.weight"] == (100, 100)
    assert shapes["sse_pt"]["users.weight"] == (10, 50)
    assert not any(name.startswith("blocks.2") for name in shapes["sas_fpt"])
    assert not any("ratings.weight" in names for names in shapes.values())


def test_weeks_and_ratings_start_no_larger_than_items(small_config):
    config = small_config("sas_fpt", rating_width=16)
    model = Encoder(config, 3000, 50, torch.empty(0, dtype=torch.int64))
    bound = (6 / (3001 + 8)) ** 0.5
    for table in (model.items, model.weeks, model.ratings):
        largest = table.weight.abs().max().item()
        assert 0.9 * bound < largest <= bound


def test_only_models_with_intervals_see_when_they_are_asked(
    slug, model_of, differs, random_windows
):
    model, windows = model_of(slug), random_windows(4, real=6)
    scale = windows.scales[:, None]
    windows = moved(windows, torch.arange(6) * scale)
    later = replace(windows, query_times=windows.query_times + 3 * scale)
    assert differs(model, windows, later).tolist() == [slug in WITH_INTERVALS] * 3
