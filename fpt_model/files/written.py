"""Tables as files that check themselves: one rename, and nothing beside it to agree with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import check_sha256, write_whole
from fpt_model.files.sealing import is_whole, sealed
from fpt_model.files.values import Digest, stated, stating

THE_TRAINING = "the training"


def write_table(output: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all: sealed, with the hash of its values in it."""
    write_whole(output, sealed(stating(table)))
    Path(f"{output}.sha256").unlink(missing_ok=True)  # an older version's, of what was there


class Parts:
    """A table in a file, some rows after others; it is known to be whole once all were read.

    A file of an older version says nothing of itself; its checksum stands in a file beside it.

    Args:
        path: the file.
        made_by: what makes it.

    Attributes:
        schema: of the table.
        values: the hash of its values, once all rows were read.

    Raises:
        ModelError: it is missing, or not what was written; also of its rows.
    """

    values = ""

    def __init__(self, path: Path, made_by: str = THE_TRAINING) -> None:
        self.path, self.made_by = path, made_by
        if not path.is_file():
            raise ModelError(f"No file {path}", to_do=f"Run {made_by} first")
        with self._refusing():
            if is_whole(path) is False:
                raise self._damaged("other bytes than were written")
            self._stated = stated(path)
            if self._stated is None:
                check_sha256(path, made_by)
            self.schema = pq.read_schema(path)

    def __iter__(self) -> Iterator[pa.Table]:
        """The rows, a group of the file at a time."""
        with self._refusing(), pq.ParquetFile(self.path) as file:
            digest = Digest(self.schema)
            for number in range(file.num_row_groups):
                part = file.read_row_group(number)
                digest.add(part)
                yield part
        self.values = digest.hexdigest()
        if self._stated not in (None, self.values):
            raise self._damaged(f"values of SHA-256 {self.values}", self._stated)

    def count(self, column: str) -> int:
        """At least how many values a column has, those of lists each."""
        with self._refusing(), pq.ParquetFile(self.path) as file:
            names = [file.schema.column(number).path for number in range(len(file.schema.names))]
            place = [name.partition(".")[0] for name in names].index(column)
            groups = map(file.metadata.row_group, range(file.num_row_groups))
            return sum(group.column(place).num_values for group in groups)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, got: str, expected: str | None = None) -> ModelError:
        to_do = f"Run {self.made_by} again"
        return ModelError(f"{self.path.name} is damaged", got=got, expected=expected, to_do=to_do)


def read_written(path: Path, made_by: str = THE_TRAINING) -> tuple[pa.Table, str]:
    """A table that is whole, and the hash of its values; see `Parts`."""
    parts = Parts(path, made_by)
    rows = list(parts)
    return pa.concat_tables(rows) if rows else parts.schema.empty_table(), parts.values
