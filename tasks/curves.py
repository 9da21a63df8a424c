"""Learning curves as SVG: a row of panels a retention, a line a training, a colour a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from warehouse.charts import HEIGHT, WIDTH, Series, course, legend, picture, placed

TOP, GAP = 30, 20  # above all panels, and between two
MEASURES = {"valid_ndcg_10": "validation NDCG@10", "train_loss": "training loss"}

Row = Mapping[str, Any]


def draw(rows: Sequence[Row]) -> str:
    """The SVG of `questions/course`' rows."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    retentions = list(dict.fromkeys(row["retention"] for row in rows))
    parts = [legend(models, GAP, 20)]
    for place, retention in enumerate(retentions):
        ours = [row for row in rows if row["retention"] == retention]
        for column, (measure, title) in enumerate(MEASURES.items()):
            lines = _lines(ours, measure, models)
            panel = course(lines, "epoch", title, f"{retention}: {title}", dots=False)
            parts.append(placed(GAP + column * (WIDTH + GAP), TOP + place * (HEIGHT + GAP), panel))
    return picture(2 * (WIDTH + GAP) + GAP, TOP + (HEIGHT + GAP) * len(retentions), parts)


def _lines(rows: Sequence[Row], measure: str, models: Sequence[str]) -> list[Series]:
    courses: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for row in rows:
        if row[measure] is not None:
            point = (row["epoch"], row[measure])
            courses.setdefault((row["model"], row["seed"]), []).append(point)
    lines = []
    for (model, _), points in courses.items():
        epochs, values = zip(*points, strict=True)
        lines.append(Series(model, epochs, values, models.index(model) + 1))
    return lines
