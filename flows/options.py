"""Options that commands of several files share."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from flows.parameters import DatasetName, Device, Model, Preset, Retention, Suspicion

Dataset = Annotated[DatasetName, typer.Option(help="Data set; `synthetic` needs no network.")]
Source = Annotated[
    Path | None, typer.Option(help="Archive on this machine, instead of fetching it.")
]
Retain = Annotated[Retention, typer.Option(help="Which users and items stay.")]


def _repeatable(name: str, words: tuple[str, ...], text: str) -> Any:
    """An option that can be given several times; Typer itself takes no list of a Literal."""

    def parse(word: str) -> str:
        if word not in words:
            raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}")
        return word

    return typer.Option(f"--{name}", parser=parse, metavar=f"[{'|'.join(words)}]", help=text)


Retains = Annotated[
    list[Any], _repeatable("retention", get_args(Retention), "Repeatable: one table each.")
]
Models = Annotated[list[Any], _repeatable("model", get_args(Model), "Variant; repeatable.")]
TableModels = Annotated[
    list[Any] | None,
    _repeatable(
        "model", get_args(Model), "Variant; repeatable. Default: those of the paper's tables."
    ),
]
PresetName = Annotated[Preset, typer.Option(help="Named settings of a training.")]
SeedCount = Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Seeds 0 to N - 1.")]
DeviceName = Annotated[Device, typer.Option(help="`auto` takes a GPU where there is one.")]
MaxRejects = Annotated[int, typer.Option(min=0, help="Unreadable lines allowed in the archive.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Only ratings before this day (UTC) are known."),
]
HomeDir = Annotated[
    Path, typer.Option("--home", envvar="FPT_HOME", help="Folder of the pipeline's files.")
]
Accept = Annotated[
    list[Any],
    _repeatable(
        "accept", get_args(Suspicion), "What audits may suspect, as it is right; repeatable."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DEFAULT_HOME = Path(".fpt")


def day(moment: datetime | None) -> date | None:
    """The day of an option; Typer reads moments only."""
    return moment.date() if moment else None
