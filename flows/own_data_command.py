"""The command that looks at a file of one's own and proposes its description."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import console
from flows.files import refuse_unwritable
from flows.guard import exit_on_error
from flows.options import AsJson

if TYPE_CHECKING:
    from warehouse.own_data.proposing import Looked

app = typer.Typer()


@app.command(epilog="`fpt describe events.parquet`, `fpt describe shop.db --table sales --write`")
def describe(
    file: Annotated[
        Path,
        typer.Argument(help="CSV, Parquet, DuckDB or SQLite; or a folder of Parquet files."),
    ],
    table: Annotated[
        str | None, typer.Option(help="Which table, if a DuckDB or SQLite file has several.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="File of items, with titles and categories.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the data set. Default: the file's name.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the description beside the file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at a file of your own, and propose the description that `fpt run` needs.

    What the file does not tell is left as a comment, for you to fill in. Nothing is written without
    `--write`, and another description is never overwritten.
    """

    def look() -> None:
        from flows import shown
        from warehouse.own_data.proposing import describe as look_at
        from warehouse.own_data.proposing import place_of, refuse_there
        from warehouse.own_data.proposing import write as keep

        if write:
            refuse_there(place_of(file, name))
            refuse_unwritable(place_of(file, name))
        with shown.progress():
            looked = look_at(file, table, items, name)
        written = keep(looked) if write else None
        if as_json:
            console.show_event(_as_json(looked, written))
        else:
            _show(looked, written)

    exit_on_error(look, None)


def _as_json(looked: "Looked", written: Path | None) -> dict[str, Any]:
    return {
        **looked.facts,
        "columns": list(looked.columns),
        "refused": list(looked.refused),
        "unclear": list(looked.unclear),
        "notes": list(looked.notes),
        "toml": looked.toml,
        "path": str(looked.path),
        "written": written is not None,
    }


def _in_words(fact: str) -> str:
    return fact.replace("_", " ") + (" (UTC)" if fact.endswith("_day") else "")


def _show(looked: "Looked", written: Path | None) -> None:
    facts = [{"what": _in_words(key), "seen": value} for key, value in looked.facts.items()]
    console.show_rows(facts, "Seen")
    console.show_rows(looked.columns, "Columns")
    if looked.refused:
        console.show_rows(looked.refused, "Rows that would be refused")
    for note in looked.notes:
        console.show_event(f"Note: {note}.")
    for question in looked.unclear:
        console.show_event(f"Not plain, to be filled in: {question}.")
    console.show_event(f"\n{looked.toml}")
    if written:
        console.show_event(f"Written: {written}")
    else:
        console.show_event(f"Belongs into {looked.path}; --write puts it there.")
