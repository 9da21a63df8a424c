"""Ask a trained model in a process of its own. Without Prefect, whose import takes a second."""

import sys
from collections.abc import Sequence
from typing import Any

from tasks.subprocesses import follow
from warehouse import recommending
from warehouse.home import Home
from warehouse.recommending import Answer, ServingRun
from warehouse.staging import staging_folder


def answer(
    home: Home,
    of: ServingRun,
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
        follow(program, lambda _: None, log=home.log("scoring"))
        return recommending.with_titles(home, of, asked, output)
