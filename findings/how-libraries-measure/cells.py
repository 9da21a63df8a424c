"""What every library is asked, and how its answers are written; the standard library alone.

Questions, one user unless said otherwise:

- ndcg: NDCG@10 of a list of ten whose second is the one right item;
- recall: recall@3 of a list of three, the first two of which are right, of five right ones;
- precision: precision@10 of a list of three, the first two of which are right;
- ties: of four items with one score, which stands first;
- no_list: mean over two users of whom one has a perfect list and the other has none;
- no_truth: mean over two users with lists, of whom one has the right item first, the other none.
"""

import json
from collections.abc import Callable, Sequence

TEN = [str(item) for item in range(101, 111)]
SECOND = TEN[1]
THREE, FIVE = ["1", "2", "3"], ["1", "2", "4", "5", "6"]  # three listed, five right
LEVEL = ("300", "10", "2", "9")  # each is first by one rule: handed over, by name, by number
NOT = "—"  # it has no such thing


def number(value: float) -> str:
    """As the page has it: four decimals, without zeros that say nothing."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return text.removeprefix("0") or "0"


def ties(hit: Callable[[Sequence[str], str], float]) -> str:
    """In words who stands first, from recall or the like at 1 of each item, in either order."""
    found = []
    for order in (LEVEL, LEVEL[::-1]):
        found.append([item for item in order if hit(order, item) == 1])
    return {
        "300 9": "order of the list",
        "9 300": "last of the list first",
        "10 10": "by name, ascending",
        "9 9": "by name, descending",
        "2 2": "by number, lowest first",
        "300 300": "by number, highest first",
        "": "averaged",
    }[" ".join(found[0] + found[1])]


def kept(mean: float) -> str:
    """In words, from the mean of one perfect user and one in question."""
    return {1.0: "left out", 0.5: "0"}[round(mean, 9)]


def tell(**cells: str) -> None:
    """Print the cells of a library."""
    print(json.dumps(cells, ensure_ascii=False))
