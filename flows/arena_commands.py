"""Commands that compare with what is not ours: scores of other models in, our ranks out."""

from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.files import refuse_missing, refuse_unmakeable
from flows.guard import exit_on_error, run_flow
from flows.options import DEFAULT_HOME, Accept, AsJson, HomeDir, Wait
from flows.parameters import Kind, Protocol, Retention, Split, TrainedOn

app = typer.Typer()
DatasetOf = Annotated[
    str | None, typer.Option(help="Data set whose ids the file has. Default: the newest snapshot.")
]
RetentionOf = Annotated[
    Retention | None, typer.Option(help="Which users and items stay. Default: any, the newest.")
]
SnapshotOf = Annotated[
    str | None, typer.Option("--snapshot", help="A snapshot by its id, or how that begins.")
]


@app.command(
    "import-scores",
    epilog="`fpt import-scores scores.parquet --name GRU4Rec --dataset ml-1m --trained-on train`",
)
def import_scores(
    file: Annotated[Path, typer.Argument(help="Parquet with user, item, score, perhaps split.")],
    name: Annotated[str, typer.Option(help="What the model is called in tables.")],
    dataset: DatasetOf = None,
    retention: RetentionOf = None,
    snapshot: SnapshotOf = None,
    split: Annotated[
        Split, typer.Option(help="Of the rows, if they have no column split.")
    ] = "test",
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="Scores of all items, of the 100 sampled ones, or top lists. "
            "Default: as the file tells.",
        ),
    ] = None,
    trained_on: Annotated[
        TrainedOn | None,
        typer.Option(help="What its owner says it was trained on."),
    ] = None,
    promise: Annotated[
        str | None, typer.Option(help="What else its owner promises: code, version, settings.")
    ] = None,
    accept: Accept = [],  # noqa: B006 - Typer copies it
    home: HomeDir = DEFAULT_HOME,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Rank by somebody else's scores, and put them beside our models, marked as imported.

    The file has the data set's own ids. Every user's held-out item is ranked by our rule; of top
    lists, metrics beyond the shortest list are not known and stay empty. The owner of the model
    must promise that held-out items were not in its training, and that its settings were chosen on
    validation; what is not promised is marked in every table.
    """

    def flow() -> str:
        from flows.importing import import_scores as run

        return run(
            file, name, dataset, retention, snapshot, split, kind, trained_on, promise, accept, home
        )

    exit_on_error(lambda: _refuse(file, name), home)
    run_id = run_flow(flow, home, wait=wait)
    exit_on_error(lambda: _show(home, run_id, as_json), home)


def _refuse(file: Path, name: str) -> None:
    """Before anything heavy is imported."""
    from flows.parameters import NAMES
    from warehouse.names import refuse_name

    refuse_name(name, NAMES)
    refuse_missing(file)


def _show(home: Path, run_id: str, as_json: bool) -> None:
    from warehouse.database import statements
    from warehouse.home import Home
    from warehouse.questions import ask

    rows = ask(Home.at(home), statements("questions/imported"), [run_id]).to_dicts()
    at = ", ".join(f"at {k}" for k in sorted({row["k"] for row in rows}))
    console.show_rows(rows, f"Imported, {at}" if at else "Imported", as_json=as_json)


@app.command("export-ranks", epilog="`fpt export-ranks --model SAS-FPT --output to-trec-eval`")
def export_ranks(
    output: Annotated[Path, typer.Option(help="Folder for run.trec and qrels.trec.")],
    run: Annotated[str, typer.Option(help="A training or import, or how its id begins.")] = "",
    dataset: Annotated[str, typer.Option(help="Of its data set.")] = "",
    retention: RetentionOf = None,
    model: Annotated[str, typer.Option(help="Its model, by either name.")] = "",
    preset: Annotated[str, typer.Option(help="Its preset; imported, for imported ones.")] = "",
    split: Annotated[Split, typer.Option(help="Which held-out items.")] = "test",
    protocol: Annotated[
        Protocol, typer.Option(help="Among all items, or among 100 sampled items.")
    ] = "full",
    depth: Annotated[int, typer.Option(min=1, help="Lines for each user.")] = 100,
    home: HomeDir = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write ranks as a TREC run and qrels, for ir_measures, ranx, trec_eval.

    Users and items have the archive's own ids. Only the rank of the held-out item is stored, so
    the other places are filled with documents called other:1, other:2 and so on. The score is made
    from the place. Where equal scores put an item between two places, as half of the equal ones
    count, it stands at the later one: Recall is ours, NDCG and MRR are a little lower; how many
    users that are is printed.
    """

    def go() -> None:
        from warehouse.home import Home
        from warehouse.records import Choice
        from warehouse.trec import export_ranks as write
        from warehouse.trec import only_one

        place = Home.existing(home)
        refuse_unmakeable(output)
        choice = Choice(dataset=dataset, retention=retention or "", model=model, run_id=run)
        of = only_one(place, choice, preset, split)
        row = {"folder": str(output), **write(place, of, split, protocol, output, depth)}
        console.show_rows([row], "Exported", as_json=as_json)

    exit_on_error(go, home)
