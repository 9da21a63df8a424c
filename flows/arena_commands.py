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
    str | None,
    typer.Option(help="Data set that the ids are of. Default: that of the newest snapshot."),
]
RetentionOf = Annotated[
    Retention | None,
    typer.Option(help="5-core or cold-start. Default: that of the newest snapshot."),
]
SnapshotOf = Annotated[
    str | None, typer.Option("--snapshot", help="Id of a snapshot, or how it begins.")
]


@app.command(
    "import-scores",
    epilog="`fpt import-scores scores.parquet --name GRU4Rec --dataset ml-1m --trained-on train`",
)
def import_scores(
    file: Annotated[
        Path,
        typer.Argument(help="Parquet file with user, item and score; split may be a column too."),
    ],
    name: Annotated[str, typer.Option(help="What the model is called in tables.")],
    dataset: DatasetOf = None,
    retention: RetentionOf = None,
    snapshot: SnapshotOf = None,
    split: Annotated[
        Split, typer.Option(help="Split of all rows, if the file has no column split.")
    ] = "test",
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="Scores of all items, of the 100 sampled ones, or top lists. "
            "Default: found from the file.",
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
    """Rank another model's scores by our rule, and show that model beside ours.

    It is marked as imported. The file uses the data set's own ids. If it has top lists, metrics
    beyond the shortest list are unknown and stay empty. The model's owner must promise that
    held-out items were not in its training, and that its settings were chosen on validation. A
    model without that promise is marked in every table.
    """

    given = {
        **{"file": file, "name": name, "split": split, "kind": kind, "home": home},
        **{"dataset": dataset, "retention": retention, "snapshot_id": snapshot},
        **{"trained_on": trained_on, "promise": promise, "accept": accept},
    }
    exit_on_error(lambda: _refuse(file, name), home)
    run_id = run_flow("flows.importing:import_scores", given, wait=wait)
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
    run: Annotated[str, typer.Option(help="Id of a training or import, or how it begins.")] = "",
    dataset: Annotated[str, typer.Option(help="Its data set.")] = "",
    retention: RetentionOf = None,
    model: Annotated[str, typer.Option(help="Its model, by either name.")] = "",
    preset: Annotated[str, typer.Option(help="Its preset; `imported` for imported models.")] = "",
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
    the other places hold documents called other:1, other:2 and so on, and scores follow from
    places. Equal scores can put an item between two places; it is then written at the later one.
    Recall stays the same, NDCG and MRR get a little lower, and the command prints for how many
    users.
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
