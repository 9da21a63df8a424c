"""The table of what libraries said, and whether the page has the same; the standard library alone.

Usage: table.py FOLDER PAGE, where FOLDER holds a JSON file a library.
"""

import json
import sys
from pathlib import Path

COLUMNS = ("ndcg", "recall", "precision", "ties", "no_list", "no_truth")
NAMES = {  # by file, in the order of the page
    "rectools": "RecTools 0.19.0",
    "replay": "RePlay 0.22.0",
    "recbole": "RecBole 1.2.1 (NumPy 1.23)",
    "lenskit": "LensKit 2025.8.1",
    "recpack": "recpack 0.3.6",
    "implicit": "implicit 0.7.3",
    "cornac": "cornac 3.0.1",
    "ranx": "ranx 0.3.21",
    "ir_measures": "ir_measures 0.4.3",
    "pytrec_eval": "pytrec_eval (terrier) 0.5.11",
    "torchmetrics": "torchmetrics 1.9.0",
    "sklearn": "scikit-learn 1.8.0",
}


def row(name: str, cells: dict[str, str]) -> str:
    """A line of the page."""
    return f"| {' | '.join([name, *(cells[column] for column in COLUMNS)])} |"


def main(folder: Path, page: Path) -> int:
    """Print the rows; 1 where the page lacks one of them."""
    there = page.read_text(encoding="utf-8").splitlines()
    differing = 0
    for name, shown in NAMES.items():
        line = row(shown, json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        told = line in there
        differing += not told
        print(line if told else f"{line}  <- the page says otherwise")
    print(f"{differing} rows differ" if differing else "as described")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
