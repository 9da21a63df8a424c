"""What is known of each data set, and that the real archives land with these counts."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from warehouse import datasets
from warehouse.datasets import NAMES, find
from warehouse.datasets.layouts import CSV, DOUBLE_COLON, TABS
from warehouse.errors import RefusedError

PUBLISHED = [name for name in NAMES if not find(name).is_synthetic]
FIXED = [name for name in PUBLISHED if name != "ml-latest-small"]  # which changes over time


def test_the_names_are_those_of_the_command_line():
    assert set(NAMES) == {
        "synthetic", "ml-latest-small", "ml-100k", "ml-1m", "ml-20m", "ml-25m", "ml-32m",
    }  # fmt: skip


def test_every_file_of_a_data_set_is_registered_under_its_own_name():
    files = {path.stem for path in Path(datasets.__file__).parent.glob("*.py")}
    files -= {"__init__", "dataset", "layouts"}
    assert sorted(files) == sorted(name.replace("-", "_") for name in NAMES)


@pytest.mark.parametrize("name", ["ml-10m", "ML-1M", "", "../ml-1m", "ml-1m'; DROP TABLE x"])
def test_an_unknown_name_is_refused_with_all_known_ones(name):
    with pytest.raises(RefusedError, match="Unknown data set") as caught:
        find(name)
    assert repr(name) in str(caught.value)
    assert all(known in str(caught.value) for known in NAMES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_archive_comes_from_its_publisher_under_its_own_name(name):
    address = urlsplit(find(name).url)
    assert (address.scheme, address.netloc) == ("https", "files.grouplens.org")
    assert address.path == f"/datasets/movielens/{name}.zip"


@pytest.mark.parametrize("field", ["url", "md5", "sha256", "title", "counts"])
def test_no_two_data_sets_share_what_tells_them_apart(field):
    values = [getattr(find(name), field) for name in NAMES]
    known = [value for value in values if value is not None]
    assert known
    assert len(known) == len(set(known))


@pytest.mark.parametrize("name", FIXED)
def test_an_archive_that_never_changes_has_its_checksum_and_counts(name):
    dataset = find(name)
    assert re.fullmatch("[0-9a-f]{32}", dataset.md5)
    assert dataset.sha256 is None or re.fullmatch("[0-9a-f]{64}", dataset.sha256)
    assert dataset.size is None or 10**6 < dataset.size < 4 << 30
    counts = dataset.counts
    assert 0 < counts.items < counts.ratings
    assert counts.ratings >= 20 * counts.users  # every user has rated 20 movies or more


@pytest.mark.parametrize("name", ["synthetic", "ml-latest-small"])
def test_an_archive_that_changes_has_no_fixed_checksum(name):
    dataset = find(name)
    assert (dataset.size, dataset.md5, dataset.sha256, dataset.counts) == (None,) * 4


@pytest.mark.parametrize("name", NAMES)
def test_scale_encoding_and_parser_fit_the_layout(name):
    layout, scale = find(name).layout, find(name).scale
    whole = [f"{stars}" for stars in range(1, 6)]
    if layout is CSV:
        assert (scale.low, scale.high, scale.step) == (0.5, 5.0, 0.5)
        assert set(scale.spellings()) > {*whole, "0.5", "1.5", "2.5", "3.5", "4.5", "5.0"}
        assert (layout.encoding, layout.users, layout.read_users) == ("utf-8", None, None)
        assert layout.header
        assert layout.items_header
    else:
        assert layout in (DOUBLE_COLON, TABS)
        assert set(scale.spellings()) == {*whole, *(f"{stars}.0" for stars in whole)}
        assert layout.encoding == "latin-1"
        assert layout.header is None
        assert layout.users
        assert layout.read_users


def test_an_archive_is_kept_under_the_name_of_its_data_set(tmp_path):
    assert {find(name).archive(tmp_path) for name in NAMES} == {
        tmp_path / f"{name}.zip" for name in NAMES
    }


@pytest.mark.parametrize(
    ("name", "archive", "n_movies"),
    [("ml-100k", "ml-100k.zip", 1682), ("ml-1m", "ml-1m.zip", 3883)],
)
def test_a_real_archive_lands_with_its_known_counts(
    real_archive, name, archive, n_movies, land_archive
):
    landed = land_archive(find(name), real_archive(archive))
    load = landed.load
    counts = find(name).counts
    assert (load.n_ratings, load.n_users, load.n_items, load.n_rejects) == (
        *(counts.ratings, counts.users, counts.items), 0,
    )  # fmt: skip
    rows = landed.rows
    assert rows("SELECT count(*) FROM raw.items") == [(n_movies,)]
    assert rows("SELECT count(*) FROM raw.users") == [(counts.users,)]
    assert not rows("SELECT 1 FROM raw.items WHERE title LIKE '%Ã%' OR title LIKE '%�%'")
    assert rows("SELECT count(*) FROM raw.items WHERE title LIKE '%é%'")[0][0] > 5


def test_stars_and_order_of_the_real_ml_1m_are_those_of_its_publisher(real_archive, land_archive):
    rows = land_archive(find("ml-1m"), real_archive("ml-1m.zip")).rows
    stars = rows("SELECT count(*) FROM raw.ratings GROUP BY rating ORDER BY rating")
    assert stars == [(56_174,), (107_557,), (261_197,), (348_971,), (226_310,)]
    ends = "SELECT raw_user_id, raw_item_id, rating, timestamp FROM raw.ratings"
    ends += " WHERE source_row IN (1, 1000209) ORDER BY source_row"
    assert rows(ends) == [(1, 1193, 5.0, 978300760), (6040, 1097, 4.0, 956715569)]


def test_the_publishers_own_ml_1m_is_verified(real_archive, land_archive):
    source = real_archive("ml-1m.zip")
    if source.stat().st_size != find("ml-1m").size:
        pytest.skip("this ml-1m.zip is not the publisher's own")
    assert land_archive(find("ml-1m"), source).load.verified
