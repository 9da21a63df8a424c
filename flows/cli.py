"""The command line `fpt`: each command is one flow or one query."""

import io
import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import (
    arena_commands,
    backtest_command,
    console,
    keeping_commands,
    own_data_command,
    readers,
)
from flows.files import refuse_unmakeable
from flows.guard import Guarded, exit_on_error, run_flow
from flows.options import (
    DEFAULT_HOME,
    ONE,
    TABLES,
    WHERE,
    AsJson,
    Dataset,
    Given,
    HomeDir,
    PresetName,
    Retains,
    Wait,
    asking,
)
from flows.parameters import experiment
from flows.refusing import asked_presets, refuse_unknown
from flows.unchanged import unchanged
from tasks.ends import ends

app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From MovieLens or your own events to sequential recommenders and metrics in SQL.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"fpt {version_of('sas-fpt-pipeline')}", highlight=False)
        raise typer.Exit


def _publish_into(url: str | None) -> None:
    """For this command and those that it starts; homes note it."""
    if url is not None:
        from warehouse.lake.address import choose

        exit_on_error(lambda: choose(url), None)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    warehouse: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            callback=_publish_into,
            help="A lake that many homes publish into: ducklake:postgres://… (or FPT_WAREHOUSE). "
            "A home stays with what it was first given.",
        ),
    ] = None,
) -> None:
    """From MovieLens or your own events to sequential recommenders and metrics in SQL."""


@app.command(epilog="`fpt run --dataset ml-1m --source ml-1m.zip --model sas_fpt --preset paper`")
@asking(without=ONE)
def run(given: Given, wait: Wait = None, as_json: AsJson = False) -> None:
    """Run it all: ingest, prepare, train, evaluate, publish, with audits. Shows the metrics."""

    home = given["home"]
    presets = exit_on_error(lambda: asked_presets(given), home)
    outcome = exit_on_error(lambda: unchanged(given), home)
    outcome = outcome or run_flow("flows.run:run", given, wait=wait)
    exit_on_error(lambda: _show_metrics(outcome, presets, home, as_json), home)


@app.command(epilog="`fpt benchmark --dataset ml-1m --source ml-1m.zip --preset paper --seeds 5`")
@asking(**TABLES)
def benchmark(given: Given, wait: Wait = None, as_json: AsJson = False) -> None:
    """Train what both tables of the paper show, and publish it together.

    TiSASRec, TiSASRec+, TiSASRec++ and SAS-FPT on 5-core data, TiSASRec and SAS-FPT on cold-start
    data, each with every seed. If you name models, those are trained on both kinds of data.
    """

    home = given["home"]
    presets = exit_on_error(lambda: asked_presets(given), home)
    outcome = exit_on_error(lambda: unchanged(given), home)
    outcome = outcome or run_flow("flows.run:benchmark", given, wait=wait)
    exit_on_error(lambda: _show_metrics(outcome, presets, home, as_json), home)


@app.command(epilog="`fpt ingest --dataset ml-1m --source ml-1m.zip`")
@asking("dataset", "source", "max_rejects", "home")
def ingest(given: Given, wait: Wait = None, as_json: AsJson = False) -> None:
    """Copy one archive, or your own data, into the tables `raw`, and audit it."""

    home = given["home"]
    exit_on_error(lambda: refuse_unknown(given), home)
    load_id = run_flow("flows.ingest:ingest", given, wait=wait)
    question = "SELECT * FROM raw.loads WHERE load_id = ?"
    exit_on_error(lambda: _show_answer(home, question, [load_id], "Landed", as_json), home)


@app.command(epilog="`fpt prepare 3f2a --retention cold-start`")
@asking("retention", "as_of", "home")
def prepare(
    given: Given,
    load_id: Annotated[
        str | None,
        typer.Argument(help="Id of a load, or how it begins. Default: the newest load."),
    ] = None,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Turn a load into the tables `core` and the sequences for training, and audit them."""

    home = given["home"]
    snapshot_id = run_flow("flows.prepare:prepare", {"load_id": load_id, **given}, wait=wait)
    question = "SELECT * FROM core.snapshots WHERE snapshot_id = ?"
    exit_on_error(lambda: _show_answer(home, question, [snapshot_id], "Prepared", as_json), home)


@app.command(epilog="`fpt train 9c41 --model sas_fpt --seeds 5 --device cuda`")
@asking(
    "models",
    "preset",
    "settings",
    "seeds",
    "device",
    "gpus",
    "together",
    "pool",
    "store",
    "accept",
    "home",
)
def train(
    given: Given,
    snapshot_id: Annotated[
        str | None,
        typer.Argument(help="Id of a snapshot, or how it begins. Default: the newest snapshot."),
    ] = None,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Train on a snapshot, rank with each training, audit the ranks and publish them."""

    home = given["home"]
    exit_on_error(lambda: asked_presets(given), home)
    run_ids = run_flow("flows.train:train", {"snapshot_id": snapshot_id, **given}, wait=wait)
    question = (
        "SELECT display_name AS model, seed, run_id, protocol, recall, ndcg, mrr, warnings "
        "FROM mart.metrics WHERE list_contains(?, run_id) AND split = 'test' AND k = 10 "
        "ORDER BY protocol DESC, model, seed"
    )
    exit_on_error(
        lambda: _show_answer(home, question, [run_ids], "Test metrics at 10", as_json), home
    )


@app.command(epilog="`fpt plan --dataset ml-1m --source ml-1m.zip --preset paper --seeds 5`")
@asking(
    without=("retention", *WHERE, "max_rejects", "accept"),
    retentions=(Retains, ["5-core"]),
)
def plan(given: Given, as_json: AsJson = False) -> None:
    """Show what `fpt run` would do, what is done, and how long the rest may take.

    Nothing is changed.
    """

    def show() -> None:
        from flows.plan import plan

        console.show_rows(plan(experiment(given)), "Plan", as_json=as_json)

    home = given["home"]
    exit_on_error(lambda: asked_presets(given), home)
    exit_on_error(show, home)


@app.command(epilog="`fpt export to-gpu --dataset ml-1m --source ml-1m.zip --preset paper`")
@asking(without=("retention", *WHERE, "accept"), **TABLES)
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write and to copy to that machine.")],
    given: Given,
    compile_for: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GPU",
            help="Compile its kernels here, by the Triton that is installed: sm_90 is H100 and "
            "H200. Repeatable.",
        ),
    ] = None,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Write a folder with all that `fpt benchmark` would train, for a machine with a GPU.

    Copy the folder there and run `python -m fpt_model train-all --jobs jobs.json` in it. Then copy
    what is in its folder `runs` into `runs` of the home, and run `fpt benchmark`. What is in its
    `kernels` saves the next machine compilation; copy it only from a machine that you trust.
    """

    home = given["home"]
    exit_on_error(lambda: refuse_unmakeable(folder), home)
    exit_on_error(lambda: asked_presets(given), home)
    words = {"folder": folder, "compile_for": compile_for or [], **given}
    many = run_flow("flows.run:export", words, wait=wait)
    row = {"folder": str(folder), "trainings": many}
    exit_on_error(lambda: console.show_rows([row], "Exported", as_json=as_json), home)


@app.command(epilog="`fpt up`, and beside it `fpt up --check`")
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 4200, or a free one.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Ask whether each part of a running `fpt up` answers, and exit."
        ),
    ] = False,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Start Prefect's server, UI and workers, and run the schedules of prefect.yaml.

    It prints a line for each run that starts or ends; with `--json`, an object. Ctrl-C ends
    everything. `--check` is for another terminal.
    """

    def announce(served: Any) -> None:
        from flows.serving import where_password
        from warehouse.home import Home

        place = Home.at(home)
        ready = {"ui": served.url, "password": where_password(place)}
        ready |= {"workers": ", ".join(served.pools), "home": str(home)}
        if as_json:
            console.show_event({"state": "up"} | ready)
            return
        console.show_rows([ready], "Up: schedules run until Ctrl-C")
        sys.stdout.flush()

    def serve() -> None:
        from flows import following
        from flows.up import up
        from warehouse.home import Home

        def tell(news: following.News) -> None:
            console.show_event(following.as_row(news) if as_json else following.in_words(news))

        up(Home.at(home), host, port, announce, tell)
        console.show_event({"state": "stopped"} if as_json else "stopped")

    def look() -> bool:
        from flows.healthcheck import check
        from warehouse.home import Home

        return _show_findings(check(Home.at(home)), "Up", as_json)

    if not check:
        exit_on_error(serve, home)
    elif not exit_on_error(look, home):
        raise typer.Exit(1)


@app.command(epilog="`fpt records docs/results --dataset ml-1m --preset paper`")
def records(
    folder: Annotated[
        Path, typer.Argument(help="Folder for runs.json, curves.json and comparisons.json.")
    ],
    dataset: Dataset = "synthetic",
    preset: PresetName = "quick",
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write the figures of published trainings to JSON files, without any user's data.

    Figures of other data sets and presets that the folder has stay there.
    """

    def keep() -> None:
        from warehouse.home import Home
        from warehouse.results_export import export_results

        refuse_unmakeable(folder)
        counts = export_results(Home.existing(home), folder, dataset, preset)
        rows = [{"file": str(folder / name), "rows": count} for name, count in counts.items()]
        console.show_rows(rows, "Recorded", as_json=as_json)

    exit_on_error(keep, home)


@app.command()
def doctor(
    mend: Annotated[
        bool,
        typer.Option(
            "--mend", help="Remove what runs that died left, and write lost records again."
        ),
    ] = False,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Check this machine and the pipeline's files."""

    def look() -> bool:
        from flows.doctor import examine

        return _show_findings(examine(home, mend=mend), "Doctor", as_json)

    if not exit_on_error(look, home):
        raise typer.Exit(1)


app.add_typer(arena_commands.app)
app.add_typer(backtest_command.app)
app.add_typer(readers.app)
app.add_typer(keeping_commands.app)
app.add_typer(own_data_command.app)


def main() -> None:
    """Entry point of `fpt`."""
    ends.wanted = True
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out.encoding.lower() != "utf-8":
        out.reconfigure(errors="backslashreplace")  # as stderr is: Latin-1 has no lines of tables
    for name in (
        "PREFECT_SERVER_ANALYTICS_ENABLED",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY",
    ):
        os.environ.setdefault(name, "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # a busy machine starts Prefect's server in more than its twenty seconds
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    # a server that is set and lost is waited for, for half a minute; then the run goes on without
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "4")
    try:
        app()
    except SystemExit as end:
        ends.finish(end.code)


def _show_metrics(outcome: Any, presets: list[str], home: Path, as_json: bool) -> None:
    from warehouse.home import Home
    from warehouse.leaderboard import leaderboard

    rows = leaderboard(Home.at(home), outcome.snapshot_ids, presets)
    console.show_rows(rows, f"Test metrics, preset {' and '.join(presets)}", as_json=as_json)


def _show_findings(findings: list[dict[str, str]], title: str, as_json: bool) -> bool:
    """Whether none is bad."""
    console.show_rows(findings, title, as_json=as_json)
    return all(finding["state"] != "bad" for finding in findings)


def _show_answer(
    home: Path, question: str, parameters: list[Any], title: str, as_json: bool
) -> None:
    from warehouse.home import Home
    from warehouse.questions import ask

    rows = ask(Home.at(home), question, parameters).to_dicts()
    if as_json:
        console.show_rows(rows, title, as_json=True)
    else:
        console.show_answer(rows, title)
