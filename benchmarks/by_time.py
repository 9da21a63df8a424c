"""docs/by-time.md: does the ranking of models hold when nobody knows the future?

fpt backtest --dataset ml-1m … --on 2000-08-01 …                 trains, ranks, publishes
python benchmarks/by_time.py --home .fpt                          keeps its figures, and tells
python benchmarks/by_time.py                                      tells those that are kept
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from figures import GAP, entry
from harness import RESULTS, ROOT, Row, put, read_json, short, signed, table, write_json

from warehouse.charts import HEIGHT, WIDTH, Series, course, picture, placed

PAGE = ROOT / "docs" / "by-time.md"
IMAGE = ROOT / "docs" / "images" / "by-time.svg"
KEPT = RESULTS / "by_time.json"
COLUMNS = (
    "as_of::VARCHAR AS as_of, model, display_name, protocol, waited, recall_10, ndcg_10, "
    "left_out_recall_10, left_out_ndcg_10, ndcg_gap, low, high, n_users, n_new_items, n_seeds"
)
PROTOCOLS = {"uniform_100": "100 sampled items", "full": "all items"}


def read(home: Path, preset: str) -> list[Row]:
    """Rows of `mart.backtest`."""
    import duckdb

    path = home / "published.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.sql(
            f"SELECT {COLUMNS} FROM mart.backtest "
            f"WHERE preset = '{preset}' AND dataset = 'ml-1m' AND retention = '5-core' ORDER BY ALL"
        )
        names = found.columns
        return [dict(zip(names, rounded(row), strict=True)) for row in found.fetchall()]


def rounded(row: Sequence[object]) -> list[object]:
    return [round(value, 5) if isinstance(value, float) else value for value in row]


def markdown(rows: Sequence[Row], protocol: str) -> str:
    """A line a model: NDCG@10 of what came next and its place, a pair of columns a day."""
    own = [row for row in rows if row["protocol"] == protocol and row["waited"] == "all"]
    days = sorted({row["as_of"] for row in own})
    cells = {(row["model"], row["as_of"]): row for row in own}
    header = ["model", *(f"{day}, {users(own, day)} users" for day in days)]
    lines = []
    for model in ranking(own, days):
        line = [next(row["display_name"] for row in own if row["model"] == model)]
        for day in days:
            row = cells.get((model, day))
            if row is None:
                line.append("")
                continue
            places = [
                place_of(own, day, model, metric) for metric in ("ndcg_10", "left_out_ndcg_10")
            ]
            line.append(
                f"{short(row['ndcg_10'])} ({places[0]}), "
                f"{short(row['left_out_ndcg_10'])} ({places[1]})"
            )
        lines.append(line)
    return table(header, lines)


def users(rows: Sequence[Row], day: str) -> int:
    """Who came back after a day."""
    return next(int(row["n_users"]) for row in rows if row["as_of"] == day)


def ranking(rows: Sequence[Row], days: Sequence[str]) -> list[str]:
    """Models by what came next after the last day, best first."""
    last = [row for row in rows if row["as_of"] == days[-1]]
    return [row["model"] for row in sorted(last, key=lambda row: -row["ndcg_10"])]


def place_of(rows: Sequence[Row], day: str, model: str, metric: str) -> int:
    """1 + the number of models that are better on a day."""
    values = {row["model"]: row[metric] for row in rows if row["as_of"] == day}
    return 1 + sum(value > values[model] for value in values.values())


def gaps(rows: Sequence[Row]) -> str:
    """What leave-one-out promises too much, with its interval over users, a column a day."""
    own = [row for row in rows if row["protocol"] == "full" and row["waited"] == "all"]
    days = sorted({row["as_of"] for row in own})
    lines = []
    for model in ranking(own, days):
        some = {row["as_of"]: row for row in own if row["model"] == model}
        line = [next(iter(some.values()))["display_name"]]
        for day in days:
            row = some.get(day)
            ends = [signed(row[name]) for name in ("ndcg_gap", "low", "high")] if row else []
            line.append(f"{ends[0]} ({ends[1]} to {ends[2]})" if row else "")
        lines.append(line)
    return table(["model", *days], lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """NDCG@10 among all items by day: what came next, and what leave-one-out says."""
    own = [row for row in rows if row["protocol"] == "full" and row["waited"] == "all"]
    days = sorted({row["as_of"] for row in own})
    models = ranking(own, days)[:6]
    panels = []
    for across, (metric, told) in enumerate(
        (("ndcg_10", "what came next"), ("left_out_ndcg_10", "leave-one-out, the same users"))
    ):
        series = []
        for number, model in enumerate(models, start=1):
            values = {row["as_of"]: row[metric] for row in own if row["model"] == model}
            places = [place for place, day in enumerate(days, start=1) if day in values]
            series.append(Series(model, places, [values[days[n - 1]] for n in places], number))
        title = f"NDCG@10 among all items, {told}"
        panel = course(series, f"days: {', '.join(days)}", title)
        panels.append(placed(8 + across * (WIDTH + GAP), 70, panel))
    names = {row["model"]: row["display_name"] for row in own}
    legend = [entry(names[model], number) for number, model in enumerate(models)]
    drawn = picture(2 * WIDTH + GAP + 40, HEIGHT + 80, [*legend, *panels])
    path.write_text(drawn, encoding="utf-8")


def sections(rows: Sequence[Row]) -> dict[str, str]:
    """What stands between the page's comments, by their names."""
    tables = [f"Among {told}:\n\n{markdown(rows, name)}" for name, told in PROTOCOLS.items()]
    return {"by-time": "\n\n".join(tables), "gaps": gaps(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--preset", default="paper")
    asked = parser.parse_args()
    if asked.home:
        write_json(KEPT, read(asked.home, asked.preset))
    rows = read_json(KEPT)
    for name, body in sections(rows).items():
        put(PAGE, name, body)
    draw(rows, IMAGE)


if __name__ == "__main__":
    main()
