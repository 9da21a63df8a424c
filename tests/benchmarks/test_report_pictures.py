"""Pictures of the report: they are there, small, and made by a palette that loses nothing seen."""

import importlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from warehouse.catalogue import writing
from warehouse.home import Home

ROOT = Path(__file__).parents[2]
palette = importlib.import_module("palette")
report_pictures = importlib.import_module("report_pictures")


@pytest.mark.parametrize("name", report_pictures.PICTURES)
def test_a_picture_is_there_and_small(name):
    picture = (ROOT / "docs" / "images" / name).read_bytes()
    width, height, _ = report_pictures.PICTURES[name]
    assert struct.unpack(">II", palette.chunks(picture)[b"IHDR"][:8]) == (width, height)
    assert len(picture) < 250_000


def picture(rows: list[bytes], width: int, channels: int = 3) -> bytes:
    """A PNG of these rows, each with its filter in front."""
    kind = {3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, len(rows), 8, kind, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    parts = [(b"IHDR", head), (b"IDAT", body[:7]), (b"IDAT", body[7:]), (b"IEND", b"")]
    whole = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return palette.SIGNATURE + b"".join(whole)


def test_filters_of_rows_are_undone():
    """No filter; what is added to the pixel at the left; what is added to the one above."""
    rows = [bytes([0, 1, 2, 3, 4, 5, 6]), bytes([1, 250, 0, 0, 10, 1, 2]), bytes([2] + [1] * 6)]
    expected = [
        [[1, 2, 3], [4, 5, 6]],
        [[250, 0, 0], [4, 1, 2]],  # 250 + 10 is 4 of 256
        [[251, 1, 1], [5, 2, 3]],
    ]
    assert palette.decoded(picture(rows, 2)).tolist() == expected


def test_alpha_is_left_out_and_other_forms_are_refused():
    assert palette.decoded(picture([bytes([0, 1, 2, 3, 255])], 1, 4)).tolist() == [[[1, 2, 3]]]
    with pytest.raises(ValueError, match="filter 4"):
        palette.decoded(picture([bytes([4, 1, 2, 3])], 1))
    with pytest.raises(ValueError, match="not a PNG"):
        palette.decoded(b"GIF89a")


def shown(colours: np.ndarray) -> np.ndarray:
    """What somebody sees of pixels after they were given a palette."""
    kept, places = palette.quantized(colours)
    reread = palette.chunks(palette.encoded(kept, places))
    rows = np.frombuffer(zlib.decompress(reread[b"IDAT"]), np.uint8)
    indices = rows.reshape(places.shape[0], -1)[:, 1:]
    return np.frombuffer(reread[b"PLTE"], np.uint8).reshape(-1, 3)[indices]


def test_few_colours_are_kept_to_the_bit():
    pixels = np.random.default_rng(7).integers(0, 6, (40, 30, 3), np.uint8) * 51
    assert (shown(pixels) == pixels).all()


def test_of_many_colours_the_common_are_kept_and_the_rare_become_their_nearest():
    common = np.array([[step, 0, 0] for step in range(256)] * 2, np.uint8)
    rare = np.array([[100, 2, 0], [7, 0, 1]], np.uint8)
    pixels = np.concatenate([common, rare])[None]
    assert (shown(pixels)[0, :-2] == common).all()
    assert shown(pixels)[0, -2:].tolist() == [[100, 0, 0], [7, 0, 0]]


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
