"""What benchmarks of trainings share: jobs files, runs read back, paired intervals, tables.

Tables of Markdown stand between two comments of a file: a script writes them, a test compares.

    <!-- results: begin, made by python benchmarks/show_results.py -->
    <!-- results: end -->

A GPU machine has no warehouse: what needs it is imported where it is used.
"""

import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # a GPU machine's checkout is not installed

from fpt_model.files.written import read_written  # noqa: E402

RESULTS = ROOT / "docs" / "results"
Row = dict[str, Any]
Floats = NDArray[np.float64]


def job(sequences: Path | str, output: str, config: Mapping[str, Any], seed: int) -> Row:
    """A training as `fpt_model/training/jobs.py` reads it; paths may be relative to the file."""
    return {"sequences": str(sequences), "output": output, "config": dict(config), "seed": seed}


def write_jobs(path: Path, jobs: Sequence[Row], **facts: Any) -> None:
    """A jobs file; facts such as `code_version`, without which any version trains it."""
    write_json(path, facts | {"jobs": jobs})


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def record(run: Path) -> Row:
    """What a finished training says of itself."""
    return dict(read_json(run / "run.json"))


def records(folder: Path) -> dict[Path, Row]:
    """Of the finished trainings below a folder's `runs`, by their own."""
    return {path.parent: record(path.parent) for path in sorted(folder.glob("runs/*/run.json"))}


def gains(ranks: Path, split: str = "test", protocol: str = "uniform_100") -> dict[str, Floats]:
    """Recall@10 and NDCG@10 of each user, in the order of users, from a file of ranks."""
    table = read_written(ranks)[0].sort_by("user_id")
    columns = {name: table[name].to_numpy() for name in ("split", "protocol", "rank")}
    wanted = (columns["split"] == split) & (columns["protocol"] == protocol)
    return gains_of(columns["rank"][wanted].astype(float))


def gains_of(ranks: Floats) -> dict[str, Floats]:
    """One relevant item each: 1 / log2(rank + 1) within the first ten.

    >>> gains_of(np.array([1.0, 3.0, 11.0]))["ndcg_10"].tolist()
    [1.0, 0.5, 0.0]
    """
    first = ranks <= 10
    return {"recall_10": first * 1.0, "ndcg_10": np.where(first, 1 / np.log2(ranks + 1), 0.0)}


def t_quantile(share: float, degrees: int) -> float:
    """What that share of Student's t lies below; with t = √n tan a the density is a cosine's power.

    >>> round(t_quantile(0.975, 1), 3), round(t_quantile(0.95, 9), 3)
    (12.706, 1.833)
    """
    angles = np.linspace(-np.pi / 2, np.pi / 2, 200_001)
    below = np.cumsum(np.cos((angles[1:] + angles[:-1]) / 2) ** (degrees - 1))
    place = np.interp(share, np.concatenate([[0.0], below / below[-1]]), angles)
    return float(np.sqrt(degrees) * np.tan(place))


def t_interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float, float]:
    """Mean, and the ends of its interval."""
    half = t_quantile((1 + share) / 2, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return mean(values), mean(values) - half, mean(values) + half


def drawn_interval(differences: Floats, draws: int) -> tuple[float, float]:
    """95 % interval of the mean of (S, U) differences: seeds and users drawn anew, each with each.

    Owen, The pigeonhole bootstrap, 2007: if anything, it is too wide.
    """
    rng = np.random.default_rng(0)
    n_seeds, n_users = differences.shape
    means = np.empty(draws)
    for draw in range(draws):
        of_users = np.bincount(rng.integers(n_users, size=n_users), minlength=n_users)
        of_seeds = np.bincount(rng.integers(n_seeds, size=n_seeds), minlength=n_seeds)
        means[draw] = of_seeds @ (differences @ of_users) / (n_seeds * n_users)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown.

    >>> print(table(["model", "NDCG"], [["SASRec", ".57"]]))
    | model | NDCG |
    |---|---|
    | SASRec | .57 |
    """
    lines = [header, *rows]
    texts = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([texts[0], "|" + "---|" * len(header), *texts[1:]])


def replaced(text: str, name: str, body: str) -> str:
    """The text with another body between the comments of that name.

    Raises:
        ValueError: the text has no such comments.
    """
    found = re.compile(rf"(<!-- {name}: begin[^>]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    if not found.search(text):
        raise ValueError(f"No comments <!-- {name}: begin --> and <!-- {name}: end -->")
    return found.sub(lambda match: f"{match[1]}\n{body}\n\n{match[2]}", text)


def put(page: Path, name: str, body: str) -> None:
    """Another body between the comments of that name in a file."""
    page.write_text(replaced(page.read_text(encoding="utf-8"), name, body), encoding="utf-8")


def over_seeds(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; of one value, itself.

    >>> over_seeds([0.57, 0.59]), over_seeds([0.5])
    ('.5800 ± .0141', '.5000')
    """
    spread = f" ± {short(stdev(values))}" if len(values) > 1 else ""
    return short(mean(values)) + spread


def short(value: float) -> str:
    """Four digits, without a zero before the point.

    >>> short(0.56789), short(-0.0312), short(1.0)
    ('.5679', '-.0312', '1.0000')
    """
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.4f}")


def signed(value: float) -> str:
    """The same with its sign.

    >>> signed(0.0312), signed(-0.5)
    ('+.0312', '-.5000')
    """
    return f"{'+' if value > 0 else ''}{short(value)}"


def prepare(world: Any, output: Path) -> Path:
    """A synthetic world's sequences file, by the pipeline's own steps."""
    from warehouse import landing, preparing, publishing
    from warehouse.datasets import find
    from warehouse.home import Home
    from warehouse.staging import staging_folder
    from warehouse.synthetic.writer import write_archive

    with tempfile.TemporaryDirectory() as kept:
        home, archive = Home.at(Path(kept) / "home"), Path(kept) / "world.zip"
        write_archive(world, archive)
        with staging_folder(home, "load") as staged:
            load_id = landing.land(find("synthetic"), archive, staged).load_id
            publishing.publish_load(home, staged)
        with staging_folder(home, "snapshot") as staged:
            made = preparing.prepare(home, load_id, "5-core", staged).sequences
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(made.read_bytes())
    return output
