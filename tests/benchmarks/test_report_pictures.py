"""Pictures of the report: they are there, small, and of few colours that lose nothing seen."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import report_pictures
from PIL import Image

from warehouse.catalogue import writing
from warehouse.home import Home

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", report_pictures.PICTURES)
def test_a_picture_is_there_and_small(name):
    path = ROOT / "docs" / "images" / name
    width, height, _ = report_pictures.PICTURES[name]
    with Image.open(path) as picture:
        assert picture.size == (width, height)
    assert path.stat().st_size < 250_000


def test_few_colours_are_kept_to_the_bit():
    pixels = np.random.default_rng(7).integers(0, 6, (40, 30, 3), np.uint8) * 51
    picture = BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    reduced = report_pictures.reduced(picture.getvalue())
    assert (np.asarray(Image.open(BytesIO(reduced)).convert("RGB")) == pixels).all()


def test_a_home_with_other_data_is_not_pictured(tmp_path):
    home = Home.at(tmp_path / "home")
    load = "INSERT INTO raw.loads VALUES (?, ?, 'x.zip', 'abc', true, '2026-01-01', 1, 0, 0, 0)"
    with writing(home) as connection:
        connection.execute(load, ["a", "synthetic"])
    report_pictures.refuse_others(home.root)
    with writing(home) as connection:
        connection.execute(load, ["b", "ml-100k"])
    with pytest.raises(SystemExit, match="has ml-100k, synthetic"):
        report_pictures.refuse_others(home.root)
