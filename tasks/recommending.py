"""Ask a trained model in a process of its own; what it recommends enters the warehouse."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import task

from tasks.subprocesses import follow
from warehouse import recommending
from warehouse.home import Home
from warehouse.recommending import Adviser, Answer
from warehouse.staging import staging_folder


@dataclass(frozen=True)
class Advice:
    """What was published: by which training, for how many users, how many rows."""

    run_id: str
    users: int
    rows: int


@task(task_run_name="recommend {top} by {of.name}")
def recommend(
    home: Home,
    of: Adviser,
    users: Sequence[int] | None,
    top: int,
    device: str = "auto",
    output: Path | None = None,
) -> Advice:
    """Score, check, publish, and write a Parquet file too if `output` says where.

    Args:
        users: numbers of the archive; None for all, empty for some.
    """
    asked = recommending.request(home, of, users)
    rows = answer(home, of, asked, ["recommend", "--top", str(top)], device)
    recommending.publish_recommendations(home, of, rows)
    if output is not None:
        rows.write_parquet(output)
    return Advice(of.run_id, users=rows["raw_user_id"].n_unique(), rows=rows.height)


def answer(
    home: Home,
    of: Adviser,
    asked: Sequence[dict[str, Any]],
    command: Sequence[str],
    device: str = "auto",
) -> Answer:
    """What the model says of each that is asked about, with titles.

    Args:
        home: where the training is.
        of: the training.
        asked: see `recommending.request`.
        command: of `python -m fpt_model`: `recommend` or `explain`, and its own options.
        device: to compute on.
    """
    log = home.root / "logs" / "scoring.log"
    log.parent.mkdir(mode=0o750, exist_ok=True)
    with staging_folder(home, "answer") as folder:
        request, output = folder / "asked.json", folder / "answer.parquet"
        recommending.write_request(request, asked)
        places = {
            "--sequences": home.root / of.sequences_path,
            "--run": home.run(of.run_id),
            "--asked": request,
            "--output": output,
            "--device": device,
        }
        words = [str(word) for pair in places.items() for word in pair]
        program = [sys.executable, "-m", "fpt_model", *command, *words]
        follow(program, lambda _: None, log=log)
        return recommending.with_titles(home, of, asked, output)
