"""Our own models beside the peers: steps of whole epochs, and trainings by our own command.

python benchmarks/peers/ours.py steps --model sasrec_best --sequences S --output F
python benchmarks/peers/ours.py train --model sasrec_best --sequences S --output F
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from peer import Row
from script import RESULT, STEPS, arguments, facts
from turns import wait_for_turn

from fpt_model.data.sequences import load
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import PROTOCOLS
from fpt_model.files.written import read_written

from harness import read_json, write_json  # isort: skip  # found where `peer` has put its folder
from timing import Trainings  # isort: skip

EPOCHS = 10  # timed
PACKAGES = {"cuda": ["triton"], "cpu": []}
MODELS = {
    "tisasrec_paper": ("tisasrec", "paper"),
    "tisasrec_compact": ("tisasrec", "compact"),
    "sasrec_best": ("sasrec", "best"),
    "sas_fpt_best": ("sas_fpt", "best"),
    "sas_fpt_request": ("sas_fpt", "best_request"),
}


def main() -> None:
    asked = arguments(list(MODELS), __doc__.splitlines()[0])
    asked.output.mkdir(parents=True, exist_ok=True)
    if asked.what == "steps":
        steps(asked)
    else:
        train(asked)


def steps(asked: argparse.Namespace) -> None:
    """Milliseconds a step, of whole epochs."""
    model, preset = MODELS[asked.model]
    device = torch.device(asked.device)
    trainings = Trainings(model, load(asked.sequences).to(device), preset=preset)
    trainings.seconds(2)  # kernels are compiled, the epoch is recorded
    wait_for_turn(asked.output)
    ms = median(trainings.seconds(EPOCHS)) / trainings.steps * 1e3
    print(f"{asked.model}: {ms:.3f} ms a step, engine {trainings.engine}", flush=True)
    row: Row = {"ms": round(ms, 4), "words": f"engine {trainings.engine}"}
    row |= {"threads": None, "deterministic": True, "tf32": False}
    about = facts(device, *PACKAGES[asked.device]) | {"steps_an_epoch": trainings.steps}
    write_json(asked.output / STEPS, about | {"steps": [row]})


def train(asked: argparse.Namespace) -> None:
    """By our command, which goes on where it stopped; then its ranks."""
    model, preset = MODELS[asked.model]
    run, began = asked.output / "run", time.perf_counter()
    places = ["--sequences", str(asked.sequences), "--device", asked.device]
    words = ["--output", str(run), "--model", model, "--preset", preset, "--seed", "0"]
    command([*places, *words], "train")
    command([*places, "--run", str(run)], "evaluate")
    row = record(run) | facts(torch.device(asked.device), *PACKAGES[asked.device])
    row["whole_seconds"] = time.perf_counter() - began
    write_json(asked.output / RESULT, row)
    print(f"{asked.model}: epoch {row['best_epoch']}, {json.dumps(row['quality'])}", flush=True)


def command(words: list[str], what: str) -> None:
    """`python -m fpt_model`."""
    line = [sys.executable, "-m", "fpt_model", what, *words]
    root = Path(__file__).parents[2]
    subprocess.run(line, check=True, cwd=root, stdout=subprocess.DEVNULL)


def record(run: Path) -> Row:
    """What a finished training says of itself, as `script.trained` says it of a peer."""
    said = read_json(run / "run.json")
    lines = (run / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line) for line in lines]
    best = said["best_epoch"]
    validated = [
        (one["epoch"], one["valid_ndcg_10"]) for one in epochs if one["valid_ndcg_10"] is not None
    ]
    return {
        "about": said["config"],
        "stopped_because": "patience" if len(epochs) < said["config"]["epochs"] else "epochs",
        "setting": "as our command has it",
        "epoch": len(epochs),
        "seconds": said["train_seconds"],
        "best_epoch": best,
        "best_ndcg": said["valid_ndcg_10"],
        "best_seconds": sum(one.get("seconds", 0.0) for one in epochs[:best]),
        "validated": validated,
        "quality": quality(run / "ranks.parquet"),
    }


def quality(ranks: Path) -> Row:
    """As `peer.quality`, of a file of ranks."""
    table = read_written(ranks)[0]
    columns = {name: table[name].to_numpy() for name in ("split", "protocol", "rank")}
    found: Row = {}
    for split in ("valid", "test"):
        found[split] = {}
        for protocol in PROTOCOLS:
            wanted = (columns["split"] == split) & (columns["protocol"] == protocol)
            own = torch.from_numpy(columns["rank"][wanted].astype("float64"))
            found[split][protocol] = {"recall_10": recall(own, 10), "ndcg_10": ndcg(own, 10)}
    return found


if __name__ == "__main__":
    main()
