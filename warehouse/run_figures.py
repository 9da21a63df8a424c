"""Figures of all that has ranks, kept beside them: they are computed for its publication.

Every function here works in the transaction of its caller and reads `mart.user_ranks` and `core`
by SELECT alone. Some 25,000 ranks of a training become eighty rows of metrics and slices, and
eight rows for each other training that it is compared with.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, groupby
from operator import itemgetter

import duckdb
import pyarrow as pa

from warehouse import figures, list_figures
from warehouse.database import insert, statements
from warehouse.identity import code_version
from warehouse.kept_figures import KEPT, figure_files
from warehouse.popularity import PARTS, keep_popularity, popularity_metrics

FEW = 64  # trainings: the ranks of more are read a split and protocol at a time, to spare memory
OF_RUNS = ("metrics", "slices", "pairs")


@dataclass(frozen=True)
class _Missing:
    """What is to be computed of a snapshot.

    Attributes:
        new: trainings that have no figures.
        pairs: of each preset the trainings that are not compared yet.
    """

    new: frozenset[str]
    pairs: tuple[tuple[figures.Pair, ...], ...]

    @property
    def run_ids(self) -> list[str]:
        """Whose ranks are needed."""
        return sorted(self.new.union(*chain(*self.pairs)))


@dataclass(frozen=True)
class Made:
    """Figures of trainings, computed before the warehouse was locked; see `rehearsal.py`.

    Attributes:
        tables: rows of `mart.run_…`, by what follows.
        ranks: of all that were compared, the checksums of the ranks.
    """

    tables: Mapping[str, pa.Table]
    ranks: Mapping[str, str]

    def still(self, ranks: Mapping[str, str]) -> Iterator[tuple[str, pa.Table]]:
        """The tables, without comparisons with ranks that are others by now, or gone."""
        import pyarrow.compute as pc  # a tenth of a second, which a question does without

        same = [run_id for run_id, sha256 in self.ranks.items() if ranks.get(run_id) == sha256]
        known = pa.array(same, pa.string())
        for name, table in self.tables.items():
            ids = [column for column in ("run_id", "other_id") if column in table.schema.names]
            both = [pc.is_in(table[column], known) for column in ids]
            yield name, table.filter(reduce(pc.and_, both))


def made_figures(connection: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> Made:
    """The figures that a catalogue has of trainings."""
    these = "IN (SELECT unnest($1::VARCHAR[]))"
    wheres = dict.fromkeys(OF_RUNS, f"run_id {these}")
    wheres["pairs"] += f" OR other_id {these}"
    tables = {
        name: connection.sql(
            f"FROM mart.run_{name} WHERE {where}", params=[list(run_ids)]
        ).to_arrow_table()
        for name, where in wheres.items()
    }
    return Made(tables, _ranks(connection))


def _ranks(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    query = "SELECT id, sha256 FROM mart.files WHERE table_name = 'mart.user_ranks'"
    return dict(connection.execute(query).fetchall())


def add_figures(
    connection: duckdb.DuckDBPyConnection, run_ids: Sequence[str], made: Made | None = None
) -> None:
    """Add the figures of trainings that have just been written; those they had are replaced.

    Args:
        connection: writes a catalogue.
        run_ids: of the trainings.
        made: their figures as far as they are known; what it lacks is computed.

    Raises:
        RefusedError: trainings of one snapshot don't rank the same users.
    """
    these = "IN (SELECT unnest($1::VARCHAR[]))"
    for table in ("run_metrics", "run_slices"):
        connection.execute(f"DELETE FROM mart.{table} WHERE run_id {these}", [list(run_ids)])
    of_pairs = f"DELETE FROM mart.run_pairs WHERE run_id {these} OR other_id {these}"
    connection.execute(of_pairs, [list(run_ids)])
    for name, table in made.still(_ranks(connection)) if made else ():
        insert(connection, f"mart.run_{name}", table)
    question = f"SELECT DISTINCT snapshot_id FROM mart.ranked_runs WHERE run_id {these}"
    _complete(connection, connection.execute(question, [list(run_ids)]).fetchall())


def bring_up_to_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Compute whatever figures are missing, or all when other code made them, and drop the rest.

    To be called where trainings come or go by another way than `add_figures`.

    Raises:
        RefusedError: trainings of one snapshot don't rank the same users.
    """
    version = code_version(figure_files())
    if connection.execute("SELECT version FROM mart.figures_version").fetchall() != [(version,)]:
        for table in (*KEPT, "figures_version"):
            connection.execute(f"DELETE FROM mart.{table}")
        connection.execute("INSERT INTO mart.figures_version VALUES (?)", [version])
    question = "SELECT DISTINCT snapshot_id FROM mart.ranked_runs"
    _complete(connection, connection.execute(question).fetchall())
    list_figures.add_missing(connection)
    known = "SELECT snapshot_id FROM mart.popularity_metrics"
    lacking = f"SELECT snapshot_id FROM core.snapshots WHERE snapshot_id NOT IN ({known})"
    for (snapshot_id,) in connection.execute(lacking).fetchall():
        keep_popularity(connection, snapshot_id, popularity_metrics(connection, snapshot_id))


def _complete(connection: duckdb.DuckDBPyConnection, snapshots: Sequence[tuple[str]]) -> None:
    connection.execute(statements("figures/tidy"))
    for (snapshot_id,) in snapshots:
        missing = _missing(connection, snapshot_id)
        if missing.run_ids:
            held_out = _read(connection, "users", snapshot_id)
            at_once = len(PARTS) if len(missing.run_ids) <= FEW else 1
            for start in range(0, len(PARTS), at_once):
                _add(connection, missing, held_out, PARTS[start : start + at_once])


def _add(
    connection: duckdb.DuckDBPyConnection,
    missing: _Missing,
    held_out: pa.Table,
    parts: Sequence[tuple[str, str]],
) -> None:
    """Compute figures of these splits and protocols and write them."""
    import pyarrow.compute as pc

    splits, protocols = (list(names) for names in zip(*parts, strict=True))
    rows = _read(connection, "ranks", missing.run_ids, splits, protocols)
    ends = connection.execute(statements("figures/known_to"), [missing.run_ids]).fetchall()
    made: dict[str, list[pa.Table]] = {"metrics": [], "slices": [], "pairs": []}
    for part, (split, protocol) in enumerate(parts):
        ranks = figures.arrange(
            missing.run_ids, rows.filter(pc.equal(rows["part"], part)), dict(ends)
        )
        held = held_out.filter(pc.equal(held_out["split"], split)).drop_columns("split")
        for name, table in _figures(missing, ranks, held) if ranks.run_ids else ():
            made[name].append(_labelled(table, split=split, protocol=protocol))
    for name, tables in made.items():
        if tables:
            insert(connection, f"mart.run_{name}", pa.concat_tables(tables))


def _missing(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> _Missing:
    runs = connection.execute(statements("figures/runs"), [snapshot_id]).fetchall()
    pairs = connection.execute(statements("figures/pairs"), [snapshot_id]).fetchall()
    by_preset = groupby(pairs, key=itemgetter(0))
    return _Missing(
        frozenset(run_id for (run_id,) in runs),
        tuple(tuple((one, other) for _, one, other in rows) for _, rows in by_preset),
    )


def _figures(
    missing: _Missing, ranks: figures.Ranks, parts: pa.Table
) -> Iterator[tuple[str, pa.Table]]:
    new = ranks.only(missing.new)
    yield "metrics", figures.metrics(new)
    yield "slices", figures.slices(new, parts)
    for some in missing.pairs:
        yield "pairs", figures.pairs(ranks.only(set(chain(*some))), some)


def _labelled(table: pa.Table, **labels: str) -> pa.Table:
    for name, label in labels.items():
        table = table.append_column(name, pa.array([label] * len(table), pa.string()))
    return table


def _read(connection: duckdb.DuckDBPyConnection, name: str, *parameters: object) -> pa.Table:
    question = connection.sql(statements(f"figures/{name}"), params=list(parameters))
    return question.to_arrow_table()
