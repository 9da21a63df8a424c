"""Options that commands of several files share."""

from pathlib import Path
from typing import Annotated

import typer

HomeDir = Annotated[
    Path, typer.Option("--home", envvar="FPT_HOME", help="Folder of the pipeline's files.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DEFAULT_HOME = Path(".fpt")
