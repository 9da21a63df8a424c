"""The command line `fpt`: each command is one flow or one query."""

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
    TABLES,
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
from tasks.ends import ends

app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="MovieLens or your own events to sequential recommenders and metrics in SQL.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"fpt {version_of('sas-fpt-pipeline')}", highlight=False)
        raise typer.Exit


RUN = "dataset source retention models preset settings seeds "
RUN += "device gpus max_rejects as_of accept home"
MANY = RUN.replace("retention", "retentions").split()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show it, and end."),
    ] = False,
) -> None:
    """MovieLens or your own events to sequential recommenders and metrics in SQL."""


@app.command(epilog="`fpt run --dataset ml-1m --source ml-1m.zip --model sas_fpt --preset paper`")
@asking(*RUN.split())
def run(given: Given, wait: Wait = None, as_json: AsJson = False) -> None:
    """Ingest, audit, prepare, audit, train, evaluate, publish; then show the metrics."""

    def flow() -> Any:
        from flows.run import run

        return run(**given)

    home = given["home"]
    presets = exit_on_error(lambda: asked_presets(given), home)
    outcome = run_flow(flow, home, wait=wait)
    exit_on_error(lambda: _show_metrics(outcome, presets, home, as_json), home)


@app.command(epilog="`fpt benchmark --dataset ml-1m --source ml-1m.zip --preset paper --seeds 5`")
@asking(*MANY, **TABLES)
def benchmark(given: Given, wait: Wait = None, as_json: AsJson = False) -> None:
    """Both tables of the paper, published together.

    TiSASRec, TiSASRec+, TiSASRec++ and SAS-FPT on 5-core data, TiSASRec and SAS-FPT on cold-start
    data, each with every seed; or the variants that are named, on both.
    """

    def flow() -> Any:
        from flows.run import benchmark

        return benchmark(**given)

    home = given["home"]
    presets = exit_on_error(lambda: asked_presets(given), home)
    outcome = run_flow(flow, home, wait=wait)
    exit_on_error(lambda: _show_metrics(outcome, presets, home, as_json), home)


@app.command(epilog="`fpt ingest --dataset ml-1m --source ml-1m.zip`")
@asking("dataset", "source", "max_rejects", "home")
def ingest(given: Given, wait: Wait = None, as_json: AsJson = False) -> None:
    """Land one archive, or your own data, in `raw`, audited."""

    def flow() -> Any:
        from flows.ingest import ingest

        return ingest(**given)

    home = given["home"]
    exit_on_error(lambda: refuse_unknown(given), home)
    load_id = run_flow(flow, home, wait=wait)
    question = "SELECT * FROM raw.loads WHERE load_id = ?"
    exit_on_error(lambda: _show_answer(home, question, [load_id], "Landed", as_json), home)


@app.command(epilog="`fpt prepare 3f2a --retention cold-start`")
@asking("retention", "as_of", "home")
def prepare(
    given: Given,
    load_id: Annotated[
        str | None,
        typer.Argument(help="A load, as `fpt ingest` names it, or how it begins; else the newest."),
    ] = None,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Make core tables and sequences from a load, audited."""

    def flow() -> Any:
        from flows.prepare import prepare

        return prepare(load_id, **given)

    home = given["home"]
    snapshot_id = run_flow(flow, home, wait=wait)
    question = "SELECT * FROM core.snapshots WHERE snapshot_id = ?"
    exit_on_error(lambda: _show_answer(home, question, [snapshot_id], "Prepared", as_json), home)


@app.command(epilog="`fpt train 9c41 --model sas_fpt --seeds 5 --device cuda`")
@asking("models", "preset", "settings", "seeds", "device", "gpus", "accept", "home")
def train(
    given: Given,
    snapshot_id: Annotated[
        str | None,
        typer.Argument(
            help="A snapshot, as `fpt prepare` names it, or how it begins; else the newest."
        ),
    ] = None,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Train on a snapshot, rank, audit, publish."""

    def flow() -> Any:
        from flows.train import train

        return train(snapshot_id, **given)

    home = given["home"]
    exit_on_error(lambda: asked_presets(given), home)
    run_ids = run_flow(flow, home, wait=wait)
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
    *(name for name in MANY if name not in ("device", "gpus", "max_rejects", "accept")),
    retentions=(Retains, ["5-core"]),
)
def plan(given: Given, as_json: AsJson = False) -> None:
    """Show what would run, what is already there and how long it may take; changes nothing."""

    def show() -> None:
        from flows.plan import plan

        console.show_rows(plan(experiment(given)), "Plan", as_json=as_json)

    home = given["home"]
    exit_on_error(lambda: asked_presets(given), home)
    exit_on_error(show, home)


@app.command(epilog="`fpt export to-gpu --dataset ml-1m --source ml-1m.zip --preset paper`")
@asking(*(name for name in MANY if name not in ("device", "gpus", "accept")), **TABLES)
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write, and to carry there.")],
    given: Given,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Write what `benchmark` would train into a folder, for a machine with a GPU.

    There: `python -m fpt_model train-all --jobs jobs.json`. Then copy what is in its `runs` into
    `runs` of the home, and run `fpt benchmark`.
    """

    def flow() -> int:
        from flows.run import export

        return export(folder, **given)

    home = given["home"]
    exit_on_error(lambda: refuse_unmakeable(folder), home)
    exit_on_error(lambda: asked_presets(given), home)
    row = {"folder": str(folder), "trainings": run_flow(flow, home, wait=wait)}
    exit_on_error(lambda: console.show_rows([row], "Exported", as_json=as_json), home)


@app.command(epilog="`fpt up`, and beside it `fpt up --check`")
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 4200, or a free one.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Ask each part of a running `fpt up`, and end.")
    ] = False,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Serve the schedules of prefect.yaml: Prefect's server and UI, deployments, workers.

    A line tells of each run that starts and ends; with --json, a JSON object. Ctrl-C ends all of
    it; `--check` is for another terminal.
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
    folder: Annotated[Path, typer.Argument(help="Folder of runs.json and its companions.")],
    dataset: Dataset = "synthetic",
    preset: PresetName = "quick",
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Keep the figures of published trainings as JSON, without any user's data.

    What the folder has of other data sets and presets stays.
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
        bool, typer.Option("--mend", help="Remove what dead runs left; write lost records again.")
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
    ends.watch()
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
        raise


def _show_metrics(outcome: Any, presets: list[str], home: Path, as_json: bool) -> None:
    from tasks.artifacts import leaderboard
    from warehouse.home import Home

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
    console.show_rows(rows, title, as_json=as_json)
