"""`python -m fpt_model train|train-all|compile|evaluate|recommend|explain|import`: JSON out."""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from fpt_model.config import ENGINES, PRESETS, Config, engine_name
from fpt_model.engines.carry import carry, named_in
from fpt_model.errors import InterruptedTrainingError, ModelError
from fpt_model.interrupts import ended_at_once
from fpt_model.processes import end_server
from fpt_model.simple.settings import SIMPLE, SimpleConfig
from fpt_model.training.launch import as_rank, gpus_for, is_launched, launch, refuse_missing
from fpt_model.variants import DISPLAY_NAMES, AnyConfig, resolve_any

EXAMPLES = """examples:
  python -m fpt_model train --sequences sequences-3f2a.parquet --output run --model sas_fpt
  python -m fpt_model train --sequences S --output run --preset paper --seed 1 --set epochs=20
  python -m fpt_model train --sequences S --output 'runs/{seed}' --seed 0 1 2 3 4 --device cuda
  python -m fpt_model evaluate --sequences S --run runs/0 runs/1 runs/2 runs/3 runs/4
  python -m fpt_model train-all --jobs jobs.json
  python -m fpt_model compile --jobs jobs.json --for sm_90
  python -m fpt_model recommend --sequences S --run run --asked asked.json --output top.parquet
  python -m fpt_model import --checkpoint TiSASRec.pth --sequences S --output run
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    asked = _parser().parse_args(arguments)
    asked.words = sys.argv[1:] if arguments is None else list(arguments)
    # deterministic matrix products on a GPU; read when CUDA starts
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # several processes of one training end together, when the first has told the others
    ended = nullcontext() if is_launched() else ended_at_once()
    try:
        with ended:
            return COMMANDS[asked.command](asked)
    except InterruptedTrainingError as error:
        _emit({"event": "interrupted", "message": str(error)})
        return 128 + error.number
    except ModelError as error:
        _emit({"event": "error", "message": str(error)})
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        end_server()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fpt_model",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, or resume")
    train.add_argument(
        "--output", required=True, help="run directory; with several seeds, one with {seed} in it"
    )
    train.add_argument("--model", default="sas_fpt", help=", ".join(DISPLAY_NAMES))
    train.add_argument("--preset", default="quick", help=", ".join(PRESETS))
    train.add_argument("--seed", type=int, nargs="+", default=[0], help="one or several")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    several = train.add_mutually_exclusive_group()
    several.add_argument(
        "--gpus", type=_count, metavar="N", help="one training on so many GPUs, a process each"
    )
    several.add_argument(
        "--cpu-processes", type=_count, metavar="N", help="the same on so many processes of a CPU"
    )
    evaluate = commands.add_parser("evaluate", help="rank held-out items with a finished run")
    evaluate.add_argument(
        "--run", type=Path, nargs="+", required=True, help="run directory, or several"
    )
    evaluate.add_argument(
        "--output", type=Path, help="of one run; default: ranks.parquet in it, and its lists beside"
    )
    evaluate.add_argument(
        "--ahead", type=Path, help="sequences of what came later: rank that, into ahead.parquet"
    )
    evaluate.add_argument("--scores", type=Path, help="save the test scores of one run (.npy)")
    train_all = commands.add_parser(
        "train-all", help="train, or resume, and rank all that a file lists"
    )
    train_all.add_argument(
        "--jobs", type=Path, required=True, help="see fpt_model/training/jobs.py"
    )
    train_all.add_argument(
        "--gpus", type=_count, metavar="N", help="GPUs to train on, a process each; default: all"
    )
    train_all.add_argument(  # default: several, if several models are to be trained
        "--cpu-processes", type=_count, help=argparse.SUPPRESS
    )
    compile_all = commands.add_parser(
        "compile", help="compile for GPUs that are elsewhere what a jobs file will launch there"
    )
    compile_all.add_argument("--jobs", type=Path, required=True, help="as of train-all")
    compile_all.add_argument(
        "--for",
        dest="gpus",
        nargs="+",
        required=True,
        metavar="GPU",
        help="sm_90 is H100 and H200, sm_80 is A100",
    )
    recommend = commands.add_parser("recommend", help="what comes after whole histories")
    recommend.add_argument("--top", type=int, default=10, help="items for each")
    explain = commands.add_parser("explain", help="which past items the model looks at")
    for command in (recommend, explain):
        command.add_argument("--run", type=Path, required=True, help="run directory")
        command.add_argument("--asked", type=Path, required=True, help="see histories.py")
        command.add_argument("--output", type=Path, required=True, help="Parquet file to write")
    foreign = commands.add_parser("import", help="a checkpoint of the public TiSASRec.pytorch")
    foreign.add_argument("--checkpoint", type=Path, required=True, help="its state dict (.pth)")
    foreign.add_argument("--output", type=Path, required=True, help="run directory to make")
    foreign.add_argument("--heads", type=int, default=1, help="the file does not say them")
    for command in (train, evaluate, recommend, explain, foreign):
        command.add_argument("--sequences", type=Path, required=True, help="sequences file")
    for command in (train, train_all, compile_all):
        command.add_argument(
            "--engine",
            type=engine_name,
            choices=ENGINES,
            default="auto",
            help="multiseed and jagged need a GPU; reference is the encoder itself",
        )
        command.add_argument(
            "--kernels",
            type=Path,
            metavar="FOLDER",
            help="compiled kernels to read and to add to; default: what the jobs file names, or "
            "Triton's own cache",
        )
    for command in (train, evaluate, train_all, recommend, explain):
        command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
        command.add_argument("--threads", type=int, help="CPU threads")
    return parser


def _train(asked: argparse.Namespace) -> int:
    overrides = dict(_pair(text) for text in asked.set)
    config = resolve_any(asked.model, asked.preset, overrides)
    processes = asked.gpus or asked.cpu_processes or 1
    if processes == 1 and not is_launched():
        return _train_alone(asked, config)
    if isinstance(config, SimpleConfig) or asked.engine not in ("auto", "distributed"):
        raise ModelError(
            "Several processes train one model by the distributed engine",
            got=f"--model {asked.model} --engine {asked.engine}",
        )
    asked.engine = "distributed"
    asked.device = "cpu" if asked.cpu_processes else "cuda" if asked.gpus else asked.device
    if is_launched():
        return as_rank(lambda: _train_alone(asked, config), asked.device)
    refuse_missing(asked.gpus or 0, config.batch_size, processes)
    return launch(asked.words, processes)


def _train_alone(asked: argparse.Namespace, config: AnyConfig) -> int:
    if isinstance(config, Config):
        _start_server(asked)
    import torch

    from fpt_model.deterministic import prepare
    from fpt_model.engines.choose import device_of
    from fpt_model.training.run import train

    prepare(asked.threads)
    device = device_of(asked.device)
    if isinstance(config, SimpleConfig):
        from fpt_model.data.sequences import load
        from fpt_model.training.fitting import fit

        fit(load(asked.sequences), _folders(asked), config, _emit)
        return 0
    try:
        train(asked.sequences, _folders(asked), config, device, _emit, asked.engine)
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(
            "The GPU's memory is full",
            got=str(error).split(".")[0],
            to_do="Lower batch_size; for millions of items, take loss=sampled_softmax",
        ) from error
    return 0


def _folders(asked: argparse.Namespace) -> dict[int, Path]:
    """The run directory of each seed."""
    if len(asked.seed) > 1 and "{seed}" not in asked.output:
        raise ModelError(
            "Several seeds need a directory each",
            got=f"--output {asked.output}",
            expected="{seed} in it, such as runs/sas_fpt-{seed}",
        )
    return {seed: Path(asked.output.replace("{seed}", str(seed))) for seed in asked.seed}


def _evaluate(asked: argparse.Namespace) -> int:
    from fpt_model.deterministic import prepare
    from fpt_model.engines.choose import device_of
    from fpt_model.training.ranking import rank_ahead, rank_run

    prepare(asked.threads)
    if len(asked.run) > 1 and (asked.output or asked.scores):
        raise ModelError("--output and --scores are of one run", got=f"{len(asked.run)} runs")
    device = device_of(asked.device)
    for run in asked.run:
        if asked.ahead:
            output = asked.output or run / "ahead.parquet"
            rows = rank_ahead(asked.sequences, asked.ahead, run, output, device)
        else:
            output = asked.output or run / "ranks.parquet"
            rows = rank_run(asked.sequences, run, output, device, asked.scores)
        _emit({"event": "done", "run": str(run), "rows": rows})
    return 0


def _train_all(asked: argparse.Namespace) -> int:
    if asked.engine != "distributed":
        return _train_all_here(asked)
    several = (asked.cpu_processes or 1) > 1
    asked.device = "cpu" if several else asked.device
    if is_launched():
        return as_rank(lambda: _train_all_here(asked), asked.device)
    processes = asked.cpu_processes if several else gpus_for(asked.device, asked.gpus)
    if processes == 1:
        return _train_all_here(asked)
    refuse_missing(asked.gpus or 0, processes, processes)
    return launch(asked.words, processes)


def _train_all_here(asked: argparse.Namespace) -> int:
    began = time.monotonic()
    can_fork = _start_server(asked)
    import torch

    from fpt_model.deterministic import prepare
    from fpt_model.engines.choose import device_name, device_of
    from fpt_model.training.dispatch import run_at
    from fpt_model.training.jobs import read_jobs, run_jobs, shares_threads
    from fpt_model.training.places import places_of, processes_on_cpu

    prepare(asked.threads)
    gc.freeze()  # what is imported stays: collections between trainings need not look at it
    jobs, device = read_jobs(asked.jobs), device_of(asked.device)
    together = asked.engine == "distributed"  # each training takes all there are
    shared = [job for job in jobs if shares_threads(job, device, asked.engine)]
    processes = asked.cpu_processes or processes_on_cpu(
        sum(not job.is_trained for job in shared) if can_fork else 0, torch.get_num_threads()
    )
    places = [] if together else places_of(device, asked.gpus, processes)
    if len(places) > 1 and len(jobs) > 1:
        divided = device.type == "cpu" and not asked.cpu_processes
        threads = None if divided else asked.threads  # of all together, or of each
        failures, used = run_at(places, jobs, _emit, asked.engine, threads)
        used = device_name(device) if divided else used
    else:
        failures, used = run_jobs(jobs, device, _emit, asked.engine), device_name(device)
    seconds = time.monotonic() - began
    counts = {"trainings": len(jobs) - len(failures), "failed": len(failures)}
    _emit({"event": "finished", "device": used, "seconds": seconds} | counts)
    if failures:
        raise ModelError(
            f"{len(failures)} of {len(jobs)} trainings failed; the others are finished",
            got="; ".join(f"{name}: {cause}" for name, cause in failures.items()),
        )
    return 0


def _compile(asked: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from fpt_model.processes import start_server

    if find_spec("triton") is None:
        raise ModelError(
            "Triton, which compiles, is not installed here",
            to_do="Install the version that the GPU machine will have: PyTorch 2.11 has 3.6.0",
        )
    kernels = asked.kernels or named_in(asked.jobs)
    if kernels:
        carry(kernels)
    from fpt_model.engines.compile_for import kind_of, launchers_without_a_gpu
    from fpt_model.training.jobs import compile_jobs_for, read_jobs

    for name in asked.gpus:
        kind_of(name)
    with launchers_without_a_gpu():
        with suppress(ModelError):  # where nothing can be forked, all is compiled here
            start_server("cuda")
        jobs = read_jobs(asked.jobs)
        compile_jobs_for(jobs, asked.gpus, _emit, asked.engine)
    return 0


def _start_server(asked: argparse.Namespace) -> bool:
    """What forks a process for each GPU, or compilers; while this process imports PyTorch too.

    Returns:
        Whether it could be started, where there may be a use for it; else it is said.
    """
    from fpt_model.processes import cores, sees_gpus, start_server

    kernels = asked.kernels or (named_in(asked.jobs) if asked.command == "train-all" else None)
    if kernels:
        carry(kernels)  # before anything is forked, that looks there too
    if asked.engine == "distributed":
        return True
    try:
        if asked.device != "cpu" and sees_gpus():
            start_server("cuda")
        elif asked.command == "train-all" and asked.cpu_processes != 1:
            several = min(asked.threads or cores(), _neural(asked.jobs)) > 1
            if several:
                start_server("cpu")
    except ModelError as error:
        _emit({"event": "place", "text": f"One process does more, which takes longer: {error}"})
        return False
    return True


def _neural(jobs: Path) -> int:
    """How many networks a file asks for; what is wrong with it is told by whoever reads it."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        asked = json.loads(jobs.read_text(encoding="utf-8"))["jobs"]
        return sum(job["config"]["model"] not in SIMPLE for job in asked)
    return 0


def _recommend(asked: argparse.Namespace) -> int:
    from fpt_model.deterministic import prepare
    from fpt_model.engines.choose import device_of
    from fpt_model.serving.recommend import recommend_run

    prepare(asked.threads)
    device = device_of(asked.device)
    rows = recommend_run(asked.sequences, asked.run, asked.asked, asked.top, asked.output, device)
    _emit({"event": "done", "run": str(asked.run), "rows": rows})
    return 0


def _explain(asked: argparse.Namespace) -> int:
    from fpt_model.deterministic import prepare
    from fpt_model.engines.choose import device_of
    from fpt_model.serving.recommend import explain_run

    prepare(asked.threads)
    device = device_of(asked.device)
    rows = explain_run(asked.sequences, asked.run, asked.asked, asked.output, device)
    _emit({"event": "done", "run": str(asked.run), "rows": rows})
    return 0


def _import(asked: argparse.Namespace) -> int:
    from fpt_model.training.importer import import_run

    import_run(asked.checkpoint, asked.sequences, asked.output, asked.heads)
    _emit({"event": "done", "run": str(asked.output)})
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ModelError("--set needs NAME=VALUE", got=repr(text))
    return name, value


def _emit(event: dict[str, object]) -> None:
    print(json.dumps(event), flush=True)


COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "train-all": _train_all,
    "compile": _compile,
    "recommend": _recommend,
    "explain": _explain,
    "import": _import,
}

if __name__ == "__main__":
    status = main()
    gc.freeze()  # Python would go through all that is imported once more, for half a second
    sys.exit(status)
