"""docs/by-time.md: does the ranking of models hold when nobody knows the future?

fpt backtest --dataset ml-1m … --on 2000-08-01 …                 trains, ranks, publishes
python benchmarks/by_time.py --home .fpt                          keeps its figures, and tells
python benchmarks/by_time.py                                      tells those that are kept
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from figures import GAP, entry
from harness import RESULTS, ROOT, Floats, Row, put, read_json, short, signed, table, write_json
from markupsafe import Markup

from warehouse.charts import HEIGHT, WIDTH, Series, course, picture, placed

PAGE = ROOT / "docs" / "by-time.md"
IMAGE = ROOT / "docs" / "images" / "by-time.svg"
KEPT = RESULTS / "by_time.json"
COLUMNS = (
    "as_of::VARCHAR AS as_of, model, display_name, protocol, waited, recall_10, ndcg_10, "
    "left_out_recall_10, left_out_ndcg_10, ndcg_gap, low, high, n_users, n_new_items, n_seeds"
)
PROTOCOLS = {"uniform_100": "100 sampled items", "full": "all items"}
# the first model less the second: does its lead hold?
PAIRS = (
    ("sas_fpt", "tisasrec"),
    ("tisasrec", "sasrec"),
    ("sasrec", "ridge"),
    ("ridge", "markov_chain"),
    ("markov_chain", "item_knn"),
    ("sas_fpt", "recent_popularity"),
    ("ridge", "recent_popularity"),
)
NOT_DRAWN = "item_knn"  # there are six colours
TITLES = {"ndcg_10": "what came next", "left_out_ndcg_10": "leave-one-out"}
AT = {"left_out": "leave-one-out", "came_next": "what came next"}
# both figures of each user on each day, mean over seeds
BY_USER = """
    SELECT raw_user_id, as_of::VARCHAR AS as_of, model, protocol,
        avg(CASE WHEN after.rank <= 10 THEN 1 / log2(after.rank::DOUBLE + 1) ELSE 0 END),
        avg(CASE WHEN held.rank <= 10 THEN 1 / log2(held.rank::DOUBLE + 1) ELSE 0 END)
    FROM mart.next_ranks AS after
    JOIN mart.user_ranks AS held USING (run_id, protocol, user_id)
    JOIN mart.latest_runs USING (run_id)
    JOIN core.users USING (snapshot_id, user_id)
    JOIN core.snapshots USING (snapshot_id)
    JOIN raw.loads USING (load_id)
    WHERE held.split = 'test' AND preset = $preset AND dataset = 'ml-1m' AND retention = '5-core'
    GROUP BY ALL ORDER BY ALL
"""
Gains = dict[tuple[str, str], dict[tuple[int, str], tuple[float, float]]]


def read(home: Path, preset: str) -> Row:
    """Rows of `mart.backtest`, and the pairs over all days."""
    import duckdb

    path = home / "published.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        by_user: Gains = {}
        for user, day, model, protocol, *gains in connection.execute(
            BY_USER, {"preset": preset}
        ).fetchall():
            by_user.setdefault((model, protocol), {})[user, day] = (gains[1], gains[0])
        found = connection.sql(
            f"SELECT {COLUMNS} FROM mart.backtest "
            f"WHERE preset = '{preset}' AND dataset = 'ml-1m' AND retention = '5-core' ORDER BY ALL"
        )
        names = found.columns
        rows = [dict(zip(names, rounded(row), strict=True)) for row in found.fetchall()]
    return {"rows": rows, "pairs": [compared(by_user, *pair) for pair in PAIRS]}


def compared(by_user: Gains, first: str, second: str) -> Row:
    """NDCG@10 of a model less that of another, over all days; 95 % intervals over users."""
    row: Row = {"first": first, "second": second}
    for protocol in PROTOCOLS:
        one, other = by_user[first, protocol], by_user[second, protocol]
        both = [key for key in one if key in other]
        for number, at in enumerate(AT):
            differences = np.array([one[key][number] - other[key][number] for key in both])
            ends = clustered(differences, [user for user, _ in both])
            row[f"{protocol}_{at}"] = [round(value, 5) for value in ends]
        row |= {"n": len(both), "users": len({user for user, _ in both})}
    return row


def clustered(values: Floats, owners: Sequence[int]) -> tuple[float, float, float]:
    """Their mean and its normal 95 % interval, where an owner's values need not be independent.

    >>> [round(x, 3) for x in clustered(np.array([1.0, 1.0, 3.0, 3.0]), [1, 1, 2, 2])]
    [2.0, 0.614, 3.386]
    """
    _, owner = np.unique(owners, return_inverse=True)
    spread = np.bincount(owner, values - values.mean())
    half = 1.96 * float(np.sqrt((spread**2).sum())) / len(values)
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


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
    if len(lines) > 1:
        lines.append(["Kendall's τ of both rankings", *(signed(tau(own, day)) for day in days)])
    return table(header, lines)


def tau(rows: Sequence[Row], day: str) -> float:
    """Pairs of models that both figures of a day rank alike, less those they don't, of all.

    >>> rows = [{"as_of": "d", "ndcg_10": x, "left_out_ndcg_10": y} for x, y in
    ...         [(1, 1), (2, 3), (3, 2)]]
    >>> round(tau(rows, "d"), 3)
    0.333
    """
    pairs = list(combinations([row for row in rows if row["as_of"] == day], 2))
    steps = [[np.sign(one[metric] - other[metric]) for metric in TITLES] for one, other in pairs]
    return float(np.mean([first * second for first, second in steps]))


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


def leads(pairs: Sequence[Row], names: Mapping[str, str]) -> str:
    """A line a pair."""
    header = ["NDCG@10, all four days together"]
    header += [f"{told}, {at}" for told in PROTOCOLS.values() for at in AT.values()]
    lines = []
    for row in pairs:
        ends = [[signed(x) for x in row[f"{name}_{at}"]] for name in PROTOCOLS for at in AT]
        pair = f"{names[row['first']]} less {names[row['second']]}"
        lines.append([pair, *(f"{middle} ({low} to {high})" for middle, low, high in ends)])
    return table(header, lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """NDCG@10 by day: what came next, and what leave-one-out says; a row of panels a protocol."""
    models = [model for model in dict.fromkeys(row["model"] for row in rows) if model != NOT_DRAWN]
    panels = []
    for down, protocol in enumerate(PROTOCOLS):
        own = [row for row in rows if row["protocol"] == protocol and row["waited"] == "all"]
        for across, metric in enumerate(("ndcg_10", "left_out_ndcg_10")):
            title = f"NDCG@10 among {PROTOCOLS[protocol]}, {TITLES[metric]}"
            panel = by_day(own, metric, models, title)
            panels.append(placed(8 + across * (WIDTH + GAP), 70 + down * (HEIGHT + GAP), panel))
    names = {row["model"]: row["display_name"] for row in rows}
    legend = [entry(names[model], number) for number, model in enumerate(models)]
    drawn = picture(2 * WIDTH + GAP + 40, 2 * HEIGHT + GAP + 80, [*legend, *panels])
    path.write_text(drawn, encoding="utf-8")


def by_day(rows: Sequence[Row], metric: str, models: Sequence[str], title: str) -> Markup:
    """A line a model."""
    days = sorted({row["as_of"] for row in rows})
    series = []
    for number, model in enumerate(models, start=1):
        values = {row["as_of"]: row[metric] for row in rows if row["model"] == model}
        places = [place for place, day in enumerate(days, start=1) if day in values]
        if places:
            series.append(Series(model, places, [values[days[n - 1]] for n in places], number))
    return course(series, f"days: {', '.join(days)}", title)


def sections(kept: Row) -> dict[str, str]:
    """What stands between the page's comments, by their names."""
    rows = kept["rows"]
    names = {row["model"]: row["display_name"] for row in rows}
    tables = [f"Among {told}:\n\n{markdown(rows, name)}" for name, told in PROTOCOLS.items()]
    told = leads(kept["pairs"], names)
    return {"by-time": "\n\n".join(tables), "leads": told, "gaps": gaps(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--preset", default="paper")
    asked = parser.parse_args()
    if asked.home:
        write_json(KEPT, read(asked.home, asked.preset))
    kept = read_json(KEPT)
    for name, body in sections(kept).items():
        put(PAGE, name, body)
    draw(kept["rows"], IMAGE)


if __name__ == "__main__":
    main()
