"""A finished training's ranks, as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from fpt_model.config import from_dict
from fpt_model.data.device_limit import placed
from fpt_model.data.sequences import Sequences, Split, load
from fpt_model.engines.cpu import ranking as threaded
from fpt_model.engines.cpu.limits import refuses
from fpt_model.errors import ModelError
from fpt_model.evaluation.lists import LISTS, write_lists
from fpt_model.evaluation.ranks import PROTOCOLS, Ranks, Scorer, rank, scored
from fpt_model.evaluation.scorer import scorer
from fpt_model.files.checkpoints import State, load_weights, read
from fpt_model.files.finished import BEST
from fpt_model.files.written import read_written, write_table
from fpt_model.model.cold_start_users import has_cold_start_users
from fpt_model.model.encoder import Encoder
from fpt_model.simple.settings import SIMPLE
from fpt_model.training.fitting import DEVICE, read_fitted
from fpt_model.training.run import SEARCH
from fpt_model.training.trainer import Trainer

SPLITS: tuple[Split, ...] = ("valid", "test")


def rank_run(
    path: Path, run: Path, output: Path, device: torch.device, scores: Path | None = None
) -> int:
    """Rank every held-out item with the run's chosen weights.

    Args:
        path: the sequences file that the run was trained on.
        run: its directory.
        output: Parquet file to write (split, protocol, user_id, rank, n_candidates); the lists of
            the test split go beside it.
        device: to compute on.
        scores: where to save the test scores as an array (N, I + 1), if at all: row u - 1 holds
            user u's, NaN for users without held-out items.

    Returns:
        The number of rows.

    Raises:
        ModelError: the run is not finished, damaged, or of other sequences.
    """
    return rank_loaded(placed(load(path), device), run, output, scores)


def rank_loaded(
    sequences: Sequences,
    run: Path,
    output: Path,
    scores: Path | None = None,
    splits: Sequence[Split] = SPLITS,
) -> int:
    """`rank_run` with sequences that are loaded already, on the device to compute on.

    Of `splits` other than both, only those are computed.
    """
    answering, validated = rankers(run, sequences)
    by: dict[Split, Ranker] = {"valid": validated, "test": answering}
    table = pa.concat_tables([_kept(split, by[split].ranks(split), output) for split in splits])
    write_table(output, table)
    if scores is not None:
        np.save(scores, _all_scores(answering))
    return int(table.num_rows)


def list_loaded(sequences: Sequences, run: Path) -> None:
    """Write the lists of a finished training whose ranks are there."""
    write_lists(run / LISTS, load_ranker(run, sequences).ranks("test"))


def _kept(split: Split, ranks: Ranks, output: Path) -> pa.Table:
    """Rows of the file of ranks; the lists of the test split go into one beside it."""
    if ranks.lists is not None:
        write_lists(output.parent / LISTS, ranks)
    return _rows(split, ranks)


def rank_trained(trainers: Mapping[Path, Trainer], splits: Sequence[Split] = SPLITS) -> list[int]:
    """Rank with the chosen weights of trainings that just ended, by the engine that trained them.

    Seeds that were trained side by side are ranked side by side.

    Validation items that a second training was trained on were ranked when it was searched for
    how long it trains; those ranks lie in the folder of that search.

    Args:
        trainers: by the Parquet file to write; see `rank_run`.
        splits: only these are computed.

    Returns:
        The number of rows of each.
    """
    for trainer in trainers.values():
        trainer.use_best()
    # one split of all before the next: what a group shares, it computes for one split at a time
    by_split = [[_rows_of(split, *pair) for pair in trainers.items()] for split in splits]
    tables = [pa.concat_tables(parts) for parts in zip(*by_split, strict=True)]
    for output, table in zip(trainers, tables, strict=True):
        write_table(output, table)
    return [int(table.num_rows) for table in tables]


def _rows_of(split: Split, output: Path, trainer: Trainer) -> pa.Table:
    if split == "valid" and trainer.selected:
        path = output.parent / SEARCH / "ranks-valid.parquet"
        return read_written(path)[0]
    return _kept(split, trainer.ranked(split), output)


def rank_ahead(path: Path, ahead: Path, run: Path, output: Path, device: torch.device) -> int:
    """Rank what really came after the sequences that a run was trained on.

    Args:
        path: the sequences file that the run was trained on.
        ahead: one of the same users and items whose test items came later.
        run: its directory.
        output: Parquet file to write, as of `rank_run`, with the split `next`.
        device: to compute on.

    Returns:
        The number of rows.

    Raises:
        ModelError: see `load_model`; the files are not of the same users and items.
    """
    before, after = placed(load(path), device), placed(load(ahead, least=0), device)
    ours, theirs = ((x.snapshot_id, x.n_users, x.n_items) for x in (before, after))
    if ours != theirs:
        raise ModelError(f"{ahead.name} is not of {path.name}", got=theirs, expected=ours)
    model = load_ranker(run, before)
    there = after.device == model.sequences.device
    later = replace(model, sequences=after if there else after.to(model.sequences.device))
    table = _rows("next", later.ranks("test", as_trained=False))
    write_table(output, table)
    return int(table.num_rows)


@dataclass(frozen=True)
class Ranker:
    """What answers for a finished training.

    Attributes:
        score: scores of every item.
        sequences: as it was trained on them, on the device that it scores on.
        length: of the window that it looks at; None for the whole history.
        time_reference, clock: how that is looked back at, see `Config`.
        encoder: the weights of a neural model.
    """

    score: Scorer
    sequences: Sequences
    length: int | None
    time_reference: str = "last"
    clock: str = "seconds"
    encoder: Encoder | None = None

    def window(self, longest: int) -> int:
        """Length of the window where no history is longer than that."""
        return self.length or longest

    def ranks(self, split: Split, *, as_trained: bool = True) -> Ranks:
        """Ranks of held-out items.

        Args:
            split: which.
            as_trained: the sequences are those that it was trained on.
        """
        seen = self.sequences.as_seen_by(self)
        if self.encoder is not None and as_trained:
            return _ranks(self.encoder, seen, split)
        return rank(self.score, seen, split, self.window(int(seen.lengths.max())))


def load_ranker(run: Path, sequences: Sequences) -> Ranker:
    """What answers for a finished training.

    Raises:
        ModelError: see `load_model`.
    """
    state = _read(run, sequences)
    if state.facts["order"]["config"]["model"] in SIMPLE:
        return _simple(state, sequences)
    return _neural(*_as_trained(state, sequences))


def rankers(run: Path, sequences: Sequences) -> tuple[Ranker, Ranker]:
    """What answers for a training, and what has not seen the answers of validation.

    Raises:
        ModelError: see `load_model`; it was trained on them, and its search is not there.
    """
    answering, search = load_ranker(run, sequences), run / SEARCH
    if answering.encoder is None:
        return answering, answering
    if answering.encoder.config.refit and run.resolve().name != SEARCH:
        return answering, _neural(load_model(search, sequences), sequences)
    return answering, _neural(answering.encoder, sequences)


def _simple(state: State, sequences: Sequences) -> Ranker:
    fitted = read_fitted(state)
    return Ranker(fitted.scorer(), sequences.to(torch.device(DEVICE)), fitted.length)


def _neural(model: Encoder, sequences: Sequences) -> Ranker:
    config = model.config
    looks_back = config.time_reference, config.clock
    return Ranker(scorer(model, sequences), sequences, config.max_length, *looks_back, model)


def load_run(run: Path, sequences: Sequences) -> tuple[Encoder, Sequences]:
    """The weights that answer for a finished training, and the sequences as they were trained on.

    Raises:
        ModelError: see `load_model`.
    """
    return _as_trained(_read(run, sequences), sequences)


def _as_trained(state: State, sequences: Sequences) -> tuple[Encoder, Sequences]:
    model = _encoder(state, sequences)
    return model, sequences.with_validation() if model.config.refit else sequences


def load_model(run: Path, sequences: Sequences) -> Encoder:
    """The chosen weights in a directory, ready to score on the sequences' device.

    Raises:
        ModelError: they are missing, damaged, or were trained on other sequences.
    """
    return _encoder(_read(run, sequences), sequences)


def _read(run: Path, sequences: Sequences) -> State:
    if not (run / BEST).exists():
        raise ModelError(f"No finished training in {run}", to_do="Train it first")
    state = read(run / BEST)
    _refuse_other(sequences, state.facts["order"])
    return state


def _encoder(state: State, sequences: Sequences) -> Encoder:
    values = state.facts["order"]["config"]
    if values["model"] in SIMPLE:
        name = SIMPLE[values["model"]].display_name
        raise ModelError(
            f"{name} is no neural model",
            got="a simple one, which attends to nothing",
            to_do="Take a neural variant",
        )
    config = from_dict(values)
    edges = state.tensors.get("edges", torch.empty(0, dtype=torch.int64))
    sizes = sequences.n_items, sequences.n_users
    model = Encoder(config, *sizes, edges, sequences.item_features)
    load_weights(model, state.tensors, BEST)
    return model.to(sequences.device)


def _refuse_other(sequences: Sequences, order: Mapping[str, Any]) -> None:
    """By what they say; an older version knew them by their bytes."""
    expected = order.get("sequences_values")
    got = sequences.values
    if expected is None:
        expected, got = order["sequences_sha256"], sequences.sha256
    if got != expected:
        raise ModelError(
            "The run was trained on other sequences", got=f"SHA-256 {got}", expected=expected
        )


def _ranks(model: Encoder, sequences: Sequences, split: Split) -> Ranks:
    able = refuses(model.config, sequences.device) is None
    if able and not has_cold_start_users(model.config, sequences):
        return threaded.rank(model, sequences, split, PROTOCOLS)
    return rank(scorer(model, sequences), sequences, split, model.config.max_length)


def _rows(split: str, ranks: Ranks) -> pa.Table:
    tables = []
    for protocol, values in ranks.ranks.items():
        n = len(values)
        columns = {
            "split": pa.array([split] * n, pa.string()),
            "protocol": pa.array([protocol] * n, pa.string()),
            "user_id": pa.array(ranks.users.cpu().numpy(), pa.int32()),
            "rank": pa.array(values.cpu().numpy(), pa.float32()),
            "n_candidates": pa.array(ranks.n_candidates[protocol].cpu().numpy(), pa.int32()),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _all_scores(ranker: Ranker) -> np.ndarray:
    sequences = ranker.sequences.as_seen_by(ranker)
    found = np.full((sequences.n_users, sequences.n_items + 1), np.nan, np.float32)
    rows, length = sequences.evaluated(), ranker.window(int(sequences.lengths.max()))
    for batch_rows, scores in scored(ranker.score, sequences, rows, "test", length):
        found[batch_rows.cpu().numpy()] = scores.cpu().numpy()
    return found
