"""Learning curves: well-formed SVG with a line a training, whose points are where they belong."""

import xml.etree.ElementTree as ET

import pytest

from tasks import curves
from warehouse import charts

SVG = "{http://www.w3.org/2000/svg}"


def row(model, seed, epoch, ndcg, loss, retention="5-core"):
    return {
        "retention": retention,
        "model": model,
        "seed": seed,
        "epoch": epoch,
        "valid_ndcg_10": ndcg,
        "train_loss": loss,
    }


def lines(rows):
    drawn = ET.fromstring(curves.draw(rows))
    found = [(line.get("class"), points(line)) for line in drawn.iter(f"{SVG}polyline")]
    return found[len({row["model"] for row in rows}) :]  # after the legend's


def points(line):
    return [tuple(map(float, at.split(","))) for at in line.get("points").split()]


def test_points_stand_between_the_extremes():
    course = ((1, 0.1, 3.0), (2, 0.2, 2.0), (4, 0.3, 1.0))
    rows = [row("SASRec", 0, *values) for values in course]
    (_, ndcg), (_, loss) = lines(rows)
    left, right = charts.LEFT, charts.WIDTH - charts.RIGHT
    top, bottom = charts.TOP, charts.HEIGHT - charts.BOTTOM
    across = [left + (right - left) * epoch / 4 for epoch in (1, 2, 4)]
    assert ndcg == list(zip(across, (bottom, (top + bottom) / 2, top), strict=True))
    assert loss == list(zip(across, (top, (top + bottom) / 2, bottom), strict=True))


def test_an_epoch_without_validation_has_no_point():
    rows = [row("SASRec", 0, 1, None, 3.0), row("SASRec", 0, 2, 0.2, 2.0)]
    (_, ndcg), (_, loss) = lines(rows)
    assert (len(ndcg), len(loss)) == (1, 2)


def test_a_model_keeps_its_colour_over_seeds_retentions_and_measures():
    rows = [
        row(model, seed, epoch, 0.1 * epoch, 1 / epoch, retention)
        for retention in ("5-core", "cold-start")
        for model in ("TiSASRec", "SAS-FPT")
        for seed in range(2)
        for epoch in (1, 2)
    ]
    found = lines(rows)
    assert len(found) == 2 * 2 * 2 * 2
    assert [colour for colour, _ in found[:4]] == ["series series-1"] * 2 + ["series series-2"] * 2
    assert len({colour for colour, _ in found}) == 2


@pytest.mark.parametrize("rows", [[], [row("SASRec", 0, 1, None, 2.0)]])
def test_nothing_to_show_is_still_a_picture(rows):
    assert ET.fromstring(curves.draw(rows)).tag == f"{SVG}svg"


def test_names_cannot_bring_markup_along():
    drawn = curves.draw([row("<script>", 0, 1, 0.1, 2.0)])
    assert "<script>" not in drawn
    ET.fromstring(drawn)
