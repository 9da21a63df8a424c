"""Tables as files that check themselves: one rename, and nothing beside it to agree with."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import check_sha256, write_whole
from fpt_model.files.sealing import is_whole, sealed
from fpt_model.files.values import stated, stating, values_sha256

THE_TRAINING = "the training"


def write_table(output: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all: sealed, with the hash of its values in it."""
    write_whole(output, sealed(stating(table)))
    Path(f"{output}.sha256").unlink(missing_ok=True)  # an older version's, of what was there


def read_written(path: Path, made_by: str = THE_TRAINING) -> tuple[pa.Table, str]:
    """A table that is whole, and the hash of its values.

    A file of an older version says nothing of itself; its checksum stands in a file beside it.

    Raises:
        ModelError: it is missing, or not what was written.
    """
    if not path.is_file():
        raise ModelError(f"No file {path}", to_do=f"Run {made_by} first")
    try:
        if is_whole(path) is False:
            raise _damaged(path, made_by, "other bytes than were written", None)
        expected = stated(path)
        if expected is None:
            check_sha256(path, made_by)
        table = pq.read_table(path)
        actual = values_sha256(table)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, made_by, str(error), None) from error
    if expected not in (None, actual):
        raise _damaged(path, made_by, f"values of SHA-256 {actual}", expected)
    return table, actual


def _damaged(path: Path, made_by: str, got: str, expected: str | None) -> ModelError:
    to_do = f"Run {made_by} again"
    return ModelError(f"{path.name} is damaged", got=got, expected=expected, to_do=to_do)
