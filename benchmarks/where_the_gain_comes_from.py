"""docs/where-the-gain-comes-from.md: what `authors.py` and `second_step.py` found, told.

    python benchmarks/where_the_gain_comes_from.py --folder F        keep its figures, and tell
    python benchmarks/where_the_gain_comes_from.py                   tell those that are kept

`--again G` compares trainings of another folder that were made with the same seeds.

The validation split chooses each training's epoch among those that were kept, every twentieth; the
test split is read there, and at 40 epochs, where the public code stops.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from authors_code import VARIANTS
from figures import GAP, entry, of_all
from harness import (
    RESULTS,
    ROOT,
    Floats,
    Row,
    drawn_interval,
    gains_of,
    over_seeds,
    put,
    read_json,
    short,
    signed,
    t_interval,
    table,
    write_json,
)

from warehouse.charts import HEIGHT, WIDTH, Series, course, picture, placed

PAGE = ROOT / "docs" / "where-the-gain-comes-from.md"
IMAGES = ROOT / "docs" / "images"
KEPT = RESULTS / "authors.json"
SHIPPED = 40  # epochs
CUTS = (80, 120)  # epochs
EPOCHS = (20, 40, 60, 80, 120)
BY_EPOCH = tuple((name, "tisasrec") for name in ("sas-fpt", "sas-fpt-zeros", "tisasrec-100"))
DRAWS = 2000  # of the bootstrap
METRICS = ("recall_10", "ndcg_10")
AT = ("shipped", "chosen")  # epochs that test is read at
Found = dict[str, dict[int, dict[int, dict[str, Floats]]]]  # by variant, seed, epoch and split
OURS = {
    "ours-tisasrec": "TiSASRec",
    "ours-tisasrec-second": "TiSASRec, an empty second step",
    "ours-tisasrec_plus_plus": "TiSASRec++",
    "ours-tisasrec_plus_plus-second": "TiSASRec++, an empty second step",
    "ours-sas_fpt": "SAS-FPT",
    "ours-sas_fpt-second": "SAS-FPT, an empty second step",
}
THEIRS = {name: variant.text for name, variant in VARIANTS.items()}
NAMES = THEIRS | OURS
# the first variant less the second: what changes between them
CHANGES = (
    ("sas-fpt", "tisasrec", "the whole gain, gradients None"),
    ("sas-fpt-zeros", "tisasrec", "the whole gain, gradients zero"),
    ("tisasrec-second", "tisasrec", "an empty second step alone"),
    ("tisasrec-100", "tisasrec", "width alone"),
    ("sas-fpt", "tisasrec-100", "SAS-FPT at equal width, gradients None"),
    ("sas-fpt-zeros", "tisasrec-100", "SAS-FPT at equal width, gradients zero"),
    ("sas-fpt-zeros", "sas-fpt", "zeros in place of None"),
    ("sas-fpt", "sas-fpt-no-second", "the group loss, gradients None"),
    ("sas-fpt-zeros", "sas-fpt-empty", "the group loss, gradients zero"),
    ("sas-fpt-empty", "sas-fpt-no-second", "an empty second step, in SAS-FPT"),
    ("sas-fpt", "sas-fpt-no-users", "users and their loss"),
    ("sas-fpt", "sas-fpt-no-weeks", "weeks"),
    ("sas-fpt-no-users", "tisasrec", "weeks and width, without users"),
    ("sas-fpt-no-users", "tisasrec-100", "weeks at equal width, without users"),
)
OUR_CHANGES = tuple(
    (f"ours-{first}", f"ours-{second}", told)
    for first, second, told in (
        ("tisasrec-second", "tisasrec", "an empty second step, TiSASRec"),
        ("tisasrec_plus_plus-second", "tisasrec_plus_plus", "the same, TiSASRec++"),
        ("sas_fpt-second", "sas_fpt", "the same, SAS-FPT"),
        ("sas_fpt", "tisasrec", "the whole gain, one step"),
        ("sas_fpt-second", "tisasrec", "the whole gain, SAS-FPT alone twice a step"),
        ("sas_fpt", "tisasrec_plus_plus", "users and their loss"),
    )
)
# once and twice a batch: 80 epochs of the second have as many steps as 40 of the first
EQUAL_STEPS = (
    ("tisasrec-second", "tisasrec"),
    ("sas-fpt-empty", "sas-fpt-no-second"),
    ("sas-fpt-zeros", "sas-fpt"),
    ("ours-tisasrec-second", "ours-tisasrec"),
    ("ours-tisasrec_plus_plus-second", "ours-tisasrec_plus_plus"),
    ("ours-sas_fpt-second", "ours-sas_fpt"),
)
CURVES = {
    "theirs": (
        "tisasrec", "tisasrec-second", "tisasrec-100", "sas-fpt", "sas-fpt-zeros",
        "sas-fpt-no-users",
    ),
    "ours": tuple(OURS),
}  # fmt: skip


def twice(name: str) -> bool:
    """Whether every weight moves twice a batch."""
    variant = VARIANTS.get(name)
    return variant.second.endswith("zeros") if variant else name.endswith("-second")


def read(folder: Path) -> Found:
    """Ranks of all that reached the epoch that is shipped."""
    found: Found = {}
    for run in sorted(path.parent for path in folder.glob(f"runs/*/ranks-{SHIPPED}.pt")):
        name, _, seed = run.name.rpartition("-")
        epochs = {}
        for path in run.glob("ranks-*.pt"):
            ranks = torch.load(path)
            epochs[int(path.stem.rpartition("-")[2])] = {
                split: ranks[split].numpy().astype(float) / 2 for split in ("valid", "test")
            }
        found.setdefault(name, {})[int(seed)] = dict(sorted(epochs.items()))
    return found


def repeated(found: Found, again: Found) -> list[Row]:
    """Trainings that were made twice with the same draws: how alike both are, by epoch, on test."""
    rows = []
    for name, seed in [(variant, one) for variant, seeds in again.items() for one in seeds]:
        one, other = found[name][seed], again[name][seed]
        for epoch in sorted(set(one) & set(other)):
            pair = one[epoch]["test"], other[epoch]["test"]
            figures = [round(means(ranks)[1], 5) for ranks in pair]
            same = round(float((pair[0] == pair[1]).mean()), 3)
            facts = {"variant": name, "seed": seed, "epoch": epoch}
            rows.append(facts | {"same_ranks": same, "ndcg_10": figures})
    return rows


def made_on(folder: Path) -> Row:
    """Device, version of PyTorch, and which sequences, of a training of the public code."""
    records = [read_json(path) for path in sorted(folder.glob("runs/*/run.json"))]
    theirs = next(one for one in records if one.get("variant") in THEIRS)
    return {name: theirs[name] for name in ("device", "torch", "sequences")}


def row_of(name: str, seed: int, epochs: dict[int, dict[str, Floats]]) -> Row:
    """A training's figures: validation at each kept epoch, test where the page reads it."""
    valid = {epoch: means(ranks["valid"]) for epoch, ranks in epochs.items()}
    best = max(valid, key=lambda epoch: valid[epoch][1])
    return {
        "variant": name,
        "seed": seed,
        "epochs": list(valid),
        "valid_ndcg_10": [round(one[1], 5) for one in valid.values()],
        "valid_recall_10": [round(one[0], 5) for one in valid.values()],
        "best_epoch": best,
        "test": [round(value, 5) for value in means(epochs[best]["test"])],
        "test_shipped": [round(value, 5) for value in means(epochs[SHIPPED]["test"])],
    }


def means(ranks: Floats) -> list[float]:
    """Recall@10 and NDCG@10."""
    gains = gains_of(ranks)
    return [float(gains[metric].mean()) for metric in METRICS]


def compared(found: Found, first: str, second: str, told: str) -> Row:
    """Both metrics of a variant less those of another, paired by seed and user, at both epochs."""
    seeds = sorted(set(found[first]) & set(found[second]))
    row: Row = {"change": told, "first": first, "second": second, "seeds": len(seeds)}
    for at in AT:
        pair = [[test(found[name][seed], at) for seed in seeds] for name in (first, second)]
        row |= {f"{metric}_{at}": ends for metric, ends in differences(*pair).items()}
    return row


def at_equal_steps(found: Found, first: str, second: str) -> Row:
    """A variant that moves its weights twice a batch, less one that moves them once, but longer."""
    epochs = SHIPPED, 2 * SHIPPED
    both = sorted(set(found[first]) & set(found[second]))
    seeds = [seed for seed in both if epochs[1] in found[second][seed]]
    pair = [
        [found[name][seed][epoch]["test"] for seed in seeds]
        for name, epoch in zip((first, second), epochs, strict=True)
    ]
    return {"first": first, "second": second, "seeds": len(seeds), **differences(*pair)}


def differences(first: Sequence[Floats], second: Sequence[Floats]) -> dict[str, list[float]]:
    """Mean of each metric's difference and the ends of its interval, of ranks by seed."""
    found = {}
    for metric in METRICS:
        one, other = (np.stack([gains_of(ranks)[metric] for ranks in x]) for x in (first, second))
        ends = drawn_interval(one - other, DRAWS)
        found[metric] = [round(x, 5) for x in (float((one - other).mean()), *ends)]
    return found


def at_epoch(found: Found, first: str, second: str, epoch: int) -> Row:
    """A comparison where both have the same epochs, of the seeds that went so far."""
    both = set(found[first]) & set(found[second])
    seeds = sorted(x for x in both if epoch in found[first][x] and epoch in found[second][x])
    pair = [[found[name][seed][epoch]["test"] for seed in seeds] for name in (first, second)]
    row = {"first": first, "second": second, "epoch": epoch, "seeds": len(seeds)}
    return row | (differences(*pair) if seeds else {})


def cut_at(found: Found, first: str, second: str, epochs: int) -> Row:
    """A comparison at the chosen epochs, as if nobody had been trained for longer."""
    seeds = sorted(set(found[first]) & set(found[second]))
    pair = [
        [test(upto(found[name][seed], epochs), "chosen") for seed in seeds]
        for name in (first, second)
    ]
    return {"first": first, "second": second, "epochs": epochs, **differences(*pair)}


def upto(epochs: dict[int, dict[str, Floats]], last: int) -> dict[int, dict[str, Floats]]:
    """Ranks of the epochs to that one."""
    return {epoch: ranks for epoch, ranks in epochs.items() if epoch <= last}


def test(epochs: dict[int, dict[str, Floats]], at: str) -> Floats:
    """Test ranks of the epoch that is shipped, or of the one that validation chooses."""
    if at == "shipped":
        return epochs[SHIPPED]["test"]
    return epochs[max(epochs, key=lambda epoch: means(epochs[epoch]["valid"])[1])]["test"]


def markdown(rows: Sequence[Row], names: dict[str, str]) -> str:
    """A line a variant: test at 40 epochs, and at the epoch that validation chose."""
    lines = []
    for name, text in names.items():
        own = [row for row in rows if row["variant"] == name]
        if not own:
            continue
        epochs = sorted(row["best_epoch"] for row in own)
        last = sorted(row["epochs"][-1] for row in own)
        at_end = sum(row["best_epoch"] == row["epochs"][-1] for row in own)
        lines.append(
            [
                text,
                str(len(own)),
                *(over_seeds([row["test_shipped"][n] for row in own]) for n in (0, 1)),
                span(epochs),
                span(last),
                str(at_end or ""),
                *(over_seeds([row["test"][n] for row in own]) for n in (0, 1)),
                told([row["test"][1] for row in own]),
            ]
        )
    header = ["", "seeds", "Recall@10 at 40 epochs", "NDCG@10", "chosen epoch", "of"]
    header.append("chosen at its end")
    return table([*header, "Recall@10 there", "NDCG@10", "its 95 % interval over seeds"], lines)


def span(values: Sequence[int]) -> str:
    """Least to greatest, of ascending values."""
    return f"{values[0]} to {values[-1]}" if values[0] != values[-1] else str(values[0])


def told(values: Sequence[float]) -> str:
    """The interval of a mean over seeds."""
    if len(values) < 2:
        return ""
    _, low, high = t_interval(values)
    return f"{short(low)} to {short(high)}"


def changes(rows: Sequence[Row]) -> str:
    """A line a comparison."""
    lines = []
    for row in rows:
        pair = f"{NAMES[row['first']]} less {NAMES[row['second']]}"
        cells = [row["change"], pair, str(row["seeds"])]
        for at in AT:
            for metric in METRICS:
                cells.append(with_ends(row[f"{metric}_{at}"]))
        lines.append(cells)
    header = ["what changes", "", "seeds", "Recall@10 at 40 epochs", "NDCG@10 at 40 epochs"]
    return table([*header, "Recall@10 at the chosen", "NDCG@10 at the chosen"], lines)


def equal_steps(rows: Sequence[Row], names: dict[str, str]) -> str:
    """A line a pair."""
    lines = []
    for row in rows:
        if row["first"] in names:
            cells = [f"{names[row['first']]}, 40 epochs, less {names[row['second']]}, 80"]
            cells += [str(row["seeds"]), *(with_ends(row[metric]) for metric in METRICS)]
            lines.append(cells)
    return table(["at equal steps", "seeds", "Recall@10", "NDCG@10"], lines)


def by_epoch(rows: Sequence[Row]) -> str:
    """A line an epoch, a column a comparison."""
    lines = []
    for epoch in EPOCHS:
        own = {row["first"]: row for row in rows if row["epoch"] == epoch}
        cells = []
        for name, _ in BY_EPOCH:
            row = own[name]
            told = f"{with_ends(row['ndcg_10'])}, {row['seeds']} seeds" if row["seeds"] else ""
            cells.append(told)
        lines.append([str(epoch), *cells])
    return table(["epoch", *(f"{NAMES[x]} less TiSASRec" for x, _ in BY_EPOCH)], lines)


def with_ends(values: Sequence[float]) -> str:
    """A difference and its interval."""
    middle, low, high = (signed(round(value, 4) + 0.0) for value in values)  # -.0000 is .0000
    return f"{middle} ({low} to {high})"


def draw(rows: Sequence[Row], names: Sequence[str], path: Path, least: float) -> None:
    """Validation NDCG@10 by epoch, and by how often every weight has moved."""
    by_epoch, by_step = [], []
    for number, name in enumerate(names, start=1):
        own = [row for row in rows if row["variant"] == name]
        if own:
            shown = [point for point in of_all(own) if point[1] >= least]
            steps = (47 if name in THEIRS else 48) * (2 if twice(name) else 1)
            parts = [epoch for epoch, _ in shown], [value for _, value in shown]
            by_epoch.append(Series(NAMES[name], *parts, number))
            moves = [epoch * steps for epoch in parts[0]]
            by_step.append(Series(NAMES[name], moves, parts[1], number))
    across = "optimiser steps of every weight"
    drawn = [
        *(entry(NAMES[name], number) for number, name in enumerate(names)),
        placed(8, 70, course(by_epoch, "epochs", "NDCG@10 on validation")),
        placed(8 + WIDTH + GAP, 70, course(by_step, across, "NDCG@10 on validation")),
    ]
    path.write_text(picture(2 * WIDTH + GAP + 40, HEIGHT + 80, drawn), encoding="utf-8")


def sections(kept: Row) -> dict[str, str]:
    """What stands between the page's comments, by their names."""
    return {
        "theirs": markdown(kept["rows"], THEIRS),
        "epochs": by_epoch(kept["by_epoch"]),
        "changes": changes(kept["changes"]),
        "steps": equal_steps(kept["equal_steps"], THEIRS),
        "ours": markdown(kept["rows"], OURS),
        "our-changes": changes(kept["our_changes"]),
        "our-steps": equal_steps(kept["equal_steps"], OURS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--again", type=Path)
    asked = parser.parse_args()
    if asked.folder:
        found = read(asked.folder)
        kept = {
            "made_on": made_on(asked.folder),
            "rows": [row_of(n, s, e) for n in NAMES for s, e in found.get(n, {}).items()],
            "changes": [compared(found, *c) for c in CHANGES if {c[0], c[1]} <= set(found)],
            "our_changes": [compared(found, *c) for c in OUR_CHANGES if {*c[:2]} <= set(found)],
            "by_epoch": [at_epoch(found, *pair, epoch) for epoch in EPOCHS for pair in BY_EPOCH],
            "cut": [cut_at(found, *CHANGES[n][:2], last) for n in (0, 1) for last in CUTS],
            "repeated": repeated(found, read(asked.again)) if asked.again else [],
            "equal_steps": [at_equal_steps(found, *pair) for pair in EQUAL_STEPS],
        }
        write_json(KEPT, kept)
    kept = read_json(KEPT)
    for name, body in sections(kept).items():
        put(PAGE, name, body)
    for name, names in CURVES.items():
        draw(kept["rows"], names, IMAGES / f"gain-{name}.svg", 0.45)


if __name__ == "__main__":
    main()
