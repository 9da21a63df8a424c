"""Run docs/notebooks/metrics.ipynb in the home `FPT_HOME`, else `.fpt`, and keep its outputs.

Times and counters of the run are not kept, so that the file changes when its outputs do.
"""

import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "metrics.ipynb"
_HEADS = re.compile(r"<th>(.*?)</th>")


def read() -> NotebookNode:
    """The notebook with its kept outputs."""
    return nbformat.read(NOTEBOOK, as_version=4)


def run(notebook: NotebookNode, home: Path) -> NotebookNode:
    """The notebook with the outputs that it has in this home.

    Raises:
        CellExecutionError: a cell fails.
    """
    os.environ["FPT_HOME"] = str(home.resolve())
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    with tempfile.TemporaryDirectory() as folder:
        # sockets of ours alone; a relative name would be another file for the kernel in its folder
        private = Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})
        settings = {"timeout": 120, "record_timing": False, "config": private}
        return NotebookClient(nbformat.from_dict(notebook), **settings, resources=place).execute()


def kinds(notebook: NotebookNode) -> list[list[str]]:
    """What each cell shows, in kind: how it is written, and the columns of a table."""
    return [
        [_kind(output) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _kind(output: NotebookNode) -> str:
    if output.output_type not in ("display_data", "execute_result"):
        return str(output.output_type)
    heads = _HEADS.findall(output.data.get("text/html", ""))
    return " ".join([*sorted(output.data), *heads])


if __name__ == "__main__":
    nbformat.write(run(read(), Path(os.environ.get("FPT_HOME", ".fpt"))), NOTEBOOK)
