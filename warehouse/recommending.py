"""Which training to ask, about whom; and its answers on their way to people and tables."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from warehouse.catalogue import reading, writing
from warehouse.choosing import Pick, remember, settle
from warehouse.cold_start import histories, written_history
from warehouse.commands import prepare_command, train_command
from warehouse.database import locked, statements, utc_now
from warehouse.described import numbers_of, rules_of
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.known import is_own
from warehouse.questions import ask
from warehouse.raw_ids import User, user_of
from warehouse.records import ANY, Choice
from warehouse.staging import stage_frame, staging_folder
from warehouse.store import list_files, place_all
from warehouse.written import check_written

PUBLISHED = ("raw_user_id", "user_id", "rank", "item_id", "score")
BEST = "best.safetensors"
Answer = pl.DataFrame  # what a model said, a row a user and item
ASKED = {"asked": pl.Int32, "raw_user_id": pl.Int64, "user_id": pl.Int32}


@dataclass(frozen=True)
class ServingRun:
    """A published training that is asked."""

    run_id: str
    snapshot_id: str
    display_name: str
    preset: str
    seed: int
    data: str
    retention: str
    checkpoint_sha256: str
    sequences_path: str
    sequences_sha256: str
    model: str
    load_id: str
    as_of: date | None
    code_version: str
    dataset: str

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.display_name} seed {self.seed}, {self.preset}, {self.data} {self.retention}"

    @property
    def facts(self) -> dict[str, Any]:
        """What tells its answers from those of others."""
        return {
            "dataset": self.data,
            "retention": self.retention,
            "snapshot_id": self.snapshot_id,
            "model": self.display_name,
            "preset": self.preset,
            "seed": self.seed,
            "run_id": self.run_id,
        }

    @property
    def title(self) -> str:
        """What it is called over its answers."""
        return f"{self.name} (snapshot {self.snapshot_id})"


def serving_run(
    home: Home,
    choice: Choice = ANY,
    code_version: str = "",
    pick: Pick | None = None,
    unfit: Collection[str] = (),
) -> ServingRun:
    """The training that is named, else the best on validation of the newest snapshot of a data set.

    Which data set, `warehouse/choosing.py` says; one that was named is remembered.

    Args:
        home: where it is published.
        choice: what is named of it.
        code_version: of the models; trainings by this code are preferred.
        pick: asks somebody which of several data sets.
        unfit: slugs of models that can't answer; one is taken where no other is published.

    Raises:
        RefusedError: nothing fits; several data sets or trainings do; its weights or sequences are
            gone or damaged, with the command that makes them again; an imported model is meant.
    """
    _refuse_imported(home, choice)
    settled = choice if choice.run_id else settle(home, choice, pick)
    found = chosen(home, settled, code_version, unfit)
    if found.model in unfit and settled.model and not choice.model:  # remembered, not asked for
        found = chosen(home, replace(settled, model=""), code_version, unfit)
    if choice != ANY:
        remember(home, Choice(found.data, found.retention, choice.model))
    return found


def chosen(
    home: Home, choice: Choice, code_version: str, unfit: Collection[str] = ()
) -> ServingRun:
    """The training that a settled choice means; see `serving_run`. Nothing is remembered."""
    where = [choice.dataset or None, choice.retention or None, choice.model or None]
    every = ask_runs(home, choice.run_id, code_version, where)
    found = _only(sorted(every, key=lambda one: one.model in unfit), choice.run_id)
    _refuse_lost(home, found, code_version)
    return found


def ask_runs(
    home: Home, beginning: str, code_version: str, where: Sequence[str | None]
) -> list[ServingRun]:
    """Trainings that may be meant, the one to be preferred first."""
    found = ask(home, statements("recommend/run"), [beginning, code_version, *where])
    return [ServingRun(**row) for row in found.rows(named=True)]


def _refuse_imported(home: Home, choice: Choice) -> None:
    """An imported model has ranks and no weights."""
    found = ask(home, statements("recommend/imported"), [choice.run_id, choice.model]).rows()
    for (name,) in found:
        raise RefusedError(
            f"{name} was imported",
            got="its scores of held-out items",
            expected="a training of ours, whose weights can be asked",
            to_do="Ask another model, or its owner",
        )


def _only(found: Sequence[ServingRun], beginning: str) -> ServingRun:
    if not found:
        raise RefusedError("No such training", got=beginning or "none", to_do="Run `fpt run` first")
    if beginning and len(found) > 1:
        raise RefusedError(
            "Several trainings have an id that begins so",
            got=beginning,
            expected=" or ".join(one.run_id for one in found),
        )
    return found[0]


def _refuse_lost(home: Home, of: ServingRun, code_version: str) -> None:
    """Refuse a training that can't answer, naming what makes whole again what it needs."""
    again = {
        home.root / of.sequences_path: prepare_command(home, of.load_id, of.retention, of.as_of),
        home.run(of.run_id) / BEST: train_command(
            home, of.snapshot_id, of.model, of.preset, of.seed
        ),
    }
    expected = (of.sequences_sha256, of.checkpoint_sha256)
    lost = {
        path: "damaged" if path.exists() else "missing"
        for path, checksum in zip(again, expected, strict=True)
        if not path.is_file() or sha256_of(path) != checksum
    }
    if not lost:
        return
    older = code_version and of.code_version != code_version and BEST in {p.name for p in lost}
    raise RefusedError(
        f"{of.name} can't be asked",
        got=" and ".join(f"{path} is {what}" for path, what in lost.items()),
        to_do=f"Run `{' && '.join(again[path] for path in lost)}`"
        + (", which trains it anew: it is of another version of the models" if older else ""),
    )


def request(home: Home, of: ServingRun, users: Sequence[User] | None) -> list[dict[str, Any]]:
    """What is asked about users by their numbers in the archive or ids in own data, None for all.

    A user of the snapshot is named by id; the history of one that it left out goes along, as far
    as the training knows its items. See `fpt_model/data/histories.py`.

    Raises:
        RefusedError: nobody is named; a number that nobody has; a user without an item that the
            training knows.
    """
    if users is not None and not users:
        raise RefusedError("No user is named", expected="numbers of users, or all of them")
    numbers = None if users is None else _numbers(home, of, users)
    known = ask(home, statements("recommend/users"), [of.snapshot_id, numbers]).rows()
    _refuse_unknown(home, of, set(numbers or ()) - {number for number, _ in known})
    left_out = [number for number, user_id in known if user_id is None]
    rules = rules_of(home, of.load_id)
    given = histories(
        ask(home, statements("recommend/left_out"), [of.snapshot_id, left_out]).lazy(), rules
    )
    asked = [
        {"raw_user_id": number} | ({"user_id": user_id} if user_id else given.get(number, {}))
        for number, user_id in known
    ]
    able = [one for one in asked if len(one) > 1]
    if lacking := set(numbers or ()) - {one["raw_user_id"] for one in able}:
        raise RefusedError(
            f"{_users(_named(home, of, lacking))} rated nothing that {of.name} knows",
            to_do="`--retention cold-start` leaves no item out, where that is trained",
        )
    return able


def _numbers(home: Home, of: ServingRun, users: Sequence[User]) -> list[int]:
    """The numbers of users in the load, in order.

    Raises:
        RefusedError: an id that nobody of own data has; what is no number.
    """
    if not is_own(of.dataset):
        return sorted({int(user_of(user, own=False)) for user in users})
    found = numbers_of(home, of.load_id, list(map(str, users)))
    if missing := set(map(str, users)) - set(found):
        few = ask(home, statements("recommend/some_keys"), [of.load_id]).to_series().to_list()
        raise RefusedError(
            f"{_users(missing)} {'is' if len(missing) == 1 else 'are'} not in {of.data}",
            expected=f"ids as the source writes them, such as {', '.join(few)}",
        )
    return sorted(found.values())


def _named(home: Home, of: ServingRun, numbers: set[int]) -> set[User]:
    """What people call users: their numbers, or ids in own data."""
    if not is_own(of.dataset):
        return set(numbers)
    keys = ask(home, statements("recommend/user_keys"), [of.snapshot_id, sorted(numbers)])
    return set(keys["user_key"])


def _refuse_unknown(home: Home, of: ServingRun, missing: set[int]) -> None:
    """Of own data: who is in the load, but only since the day that the snapshot is of."""
    if missing and is_own(of.dataset):
        raise RefusedError(
            f"{_users(_named(home, of, missing))} did nothing before {of.as_of}",
            to_do="Ask a training of a later day",
        )
    if missing:
        lowest, highest = ask(home, statements("recommend/numbers"), [of.snapshot_id]).row(0)
        raise RefusedError(
            f"{_users(missing)} is not in {of.data}"
            if len(missing) == 1
            else f"{_users(missing)} are not in {of.data}",
            expected=f"numbers of its archive, from {lowest} to {highest}",
        )


def _users(numbers: Collection[User]) -> str:
    listed = ", ".join(map(str, sorted(numbers)))  # type: ignore[type-var]
    return f"User {listed}" if len(numbers) == 1 else f"Users {listed}"


def sample_user(home: Home, of: ServingRun) -> User:
    """A user whose history fits on a page, as people call them."""
    number = int(ask(home, statements("recommend/sample_user"), [of.snapshot_id]).item())
    return next(iter(_named(home, of, {number})))


def history_of(
    home: Home, of: ServingRun, words: Sequence[str], whole: str | None = None
) -> dict[str, Any]:
    """What is asked about somebody new, who names items; see `written_history`."""
    items = ask(home, statements("recommend/items"), [of.snapshot_id])
    return written_history(words, items, whole)


def with_titles(
    home: Home, of: ServingRun, asked: Sequence[dict[str, Any]], answer: Path
) -> Answer:
    """A model's answer with the users' numbers and the items' titles, in its order.

    Of own data with the ids too, as `user_key` and `item_key`; an item without a title is called by
    its id.

    Raises:
        RefusedError: the file is not the one that the model wrote.
    """
    check_written(answer)
    rows = [(place, one.get("raw_user_id"), one.get("user_id")) for place, one in enumerate(asked)]
    users = pl.DataFrame(rows, ASKED, orient="row")
    items = ask(home, statements("recommend/items"), [of.snapshot_id])
    # in Polars: a frame that DuckDB is to read costs the import of pandas, half a second
    found = (
        pl.read_parquet(answer)
        .join(users, on="asked", validate="m:1", maintain_order="left")
        .join(items, on="item_id", validate="m:1", maintain_order="left")
        .select("raw_user_id", "user_id", pl.exclude("asked", "raw_user_id", "user_id"))
    )
    return _with_keys(home, of, found) if is_own(of.dataset) else found.drop("item_key")


def _with_keys(home: Home, of: ServingRun, rows: Answer) -> Answer:
    numbers = rows["raw_user_id"].unique().drop_nulls().to_list()
    keys = ask(home, statements("recommend/user_keys"), [of.snapshot_id, numbers])
    return rows.join(keys, on="raw_user_id", how="left", validate="m:1", maintain_order="left")


def publish_recommendations(home: Home, of: ServingRun, rows: Answer) -> None:
    """Check recommendations of one training and write them; a user's earlier ones go.

    Raises:
        RefusedError: one is in its user's history, unknown, or in the wrong place.
    """
    new = rows.select(PUBLISHED).with_columns(created_at=pl.lit(utc_now()))
    with locked(home, f"recommendations-{of.run_id}"), staging_folder(home, "publish") as folder:
        with reading(home) as connection:
            connection.register("frame", new.to_arrow())
            _refuse_wrong(connection, of)
            kept = connection.sql(statements("recommend/kept"), params=[of.run_id]).pl()
        whole = pl.concat([kept.select(new.columns), new.cast(kept.select(new.columns).schema)])
        stage_frame(folder, "mart.recommendations", of.run_id, whole)
        files = place_all(home, folder)
        with writing(home) as connection:
            list_files(connection, home, files)


def _refuse_wrong(connection: duckdb.DuckDBPyConnection, of: ServingRun) -> None:
    wrong = connection.sql(statements("recommend/wrong"), params=[of.snapshot_id])
    if offending := wrong.fetchall():
        seen = "; ".join(
            f"user {user}, rank {rank}: item {item} {problem}"
            for user, rank, item, problem in offending
        )
        raise RefusedError("Recommendations that can't be published", got=seen)


def write_request(path: Path, asked: Sequence[dict[str, Any]]) -> None:
    """The file that `python -m fpt_model recommend` reads."""
    path.write_text(json.dumps(list(asked)), encoding="utf-8")
