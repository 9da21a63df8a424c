"""Commands that compare with what is not ours: scores of other models in, our ranks out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows import console
from flows.guard import guarded, working
from flows.options import DEFAULT_HOME, Accept, AsJson, HomeDir, Wait
from flows.parameters import Retention

app = typer.Typer()
DatasetOf = Annotated[
    str | None, typer.Option(help="Data set whose ids the file has. Default: the newest snapshot.")
]
RetentionOf = Annotated[
    Retention | None, typer.Option(help="Which users and items stay. Default: any, the newest.")
]
SnapshotOf = Annotated[
    str | None, typer.Option("--snapshot", help="A snapshot, or how its id begins; in place of.")
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
        Any, typer.Option(metavar="[test|valid]", help="Of the rows, if they have no column split.")
    ] = "test",
    kind: Annotated[
        Any,
        typer.Option(
            metavar="[all|candidates|top]",
            help="Scores of all items, of the 100 sampled ones, or top lists. "
            "Default: as the file tells.",
        ),
    ] = None,
    trained_on: Annotated[
        Any,
        typer.Option(metavar="[train|train+valid]", help="What its owner says it was trained on."),
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

    run_id = working(flow, home, wait=wait)
    guarded(lambda: _show(home, run_id, as_json), home)


def _show(home: Path, run_id: str, as_json: bool) -> None:
    from warehouse.database import statements
    from warehouse.home import Home
    from warehouse.questions import ask

    rows = ask(Home.at(home), statements("questions/imported"), [run_id]).to_dicts()
    console.show_rows(rows, "Imported, at 10", as_json=as_json)
