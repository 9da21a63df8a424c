"""Check staged content; keep the outcomes before a failure stops the run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prefect import task

from expectations.facts import Facts
from expectations.outcome import Outcome, stops
from expectations.suites import CORE, LISTS, NEXT, OWN, RANKS, RAW
from tasks.artifacts import show_audit
from tasks.ends import ends
from tasks.progress import note, warn
from warehouse import suspicions
from warehouse.backtest import BacktestFiles, stage_next_ranks
from warehouse.datasets import find
from warehouse.described import repeats_of, rules_of
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.home import Home
from warehouse.importing.ranking import Imported
from warehouse.imports import audit_database
from warehouse.landing import Load
from warehouse.own_data.landing import EARLIEST as OWN_EARLIEST
from warehouse.publishing import TrainedRun, store_outcomes
from warehouse.ranks import stage_ranks
from warehouse.records import Snapshot
from warehouse.staging import audited, staging_folder
from warehouse.transforms.options import Options
from warehouse.transforms.rules import MOVIELENS, Rules


@task(task_run_name="audit load {load.load_id}")
def audit_load(home: Home, load: Load, folder: Path, max_rejects: int) -> None:
    """Raw tables of a staged load."""
    facts = load_facts(load, max_rejects)
    suites = (*RAW, *OWN) if facts.own else RAW
    _audit(home, audited(folder), suites, facts, load_id=load.load_id)


@task(task_run_name="audit snapshot {snapshot.label}")
def audit_snapshot(home: Home, snapshot: Snapshot, folder: Path) -> None:
    """Core tables of a staged snapshot and the sequences file made from them."""
    facts = snapshot_facts(snapshot, rules_of(home, snapshot.load_id))
    _audit(home, audited(folder), CORE, facts, snapshot_id=snapshot.snapshot_id)


def load_facts(load: Load, max_rejects: int) -> Facts:
    """What a load must agree with; the counts are the publisher's if the archive is."""
    if load.rules.own:
        return _of_own(Facts(load_id=load.load_id, max_rejects=max_rejects), load.rules)
    dataset = find(load.dataset)
    counts = dataset.counts if load.verified and not load.n_forgotten else None
    return Facts(
        load_id=load.load_id,
        n_ratings=counts.ratings if counts else None,
        n_users=counts.users if counts else None,
        n_items=counts.items if counts else None,
        rating_min=dataset.scale.low,
        rating_max=dataset.scale.high,
        rating_step=dataset.scale.step,
        max_rejects=max_rejects,
    )


def _of_own(facts: Facts, rules: Rules) -> Facts:
    """What must be true of own data instead of what MovieLens promises."""
    low, high = rules.scale or (facts.rating_min, facts.rating_max)
    return replace(
        facts,
        own=True,
        rated=rules.rated,
        named=rules.named,
        repeats=rules.repeats,
        rating_min=low,
        rating_max=high,
        rating_step=rules.step,
        timestamp_min=OWN_EARLIEST,
    )


def snapshot_facts(snapshot: Snapshot, rules: Rules = MOVIELENS) -> Facts:
    """What the tables of a snapshot must agree with; nothing in it is later than it is of."""
    facts = Facts(
        load_id=snapshot.load_id,
        snapshot_id=snapshot.snapshot_id,
        retention=snapshot.retention,
        n_interactions=snapshot.n_interactions,
        n_kept_users=snapshot.n_users,
        n_kept_items=snapshot.n_items,
    )
    facts = _of_own(facts, rules) if rules.own else facts
    if snapshot.as_of is None:
        return facts
    return replace(facts, timestamp_max=Options(snapshot.as_of).midnight - 1)


@task(task_run_name="audit ranks")
def audit_runs(home: Home, runs: Sequence[TrainedRun], accept: Sequence[str] = ()) -> None:
    """Ranks and lists of new trainings, against the tables of the snapshot they were trained on.

    What is suspected of them is kept with each; suspicions named in `accept` are right.
    """
    for snapshot_id in dict.fromkeys(run.snapshot_id for run in runs):
        ours = [run for run in runs if run.snapshot_id == snapshot_id]
        run_ids = tuple(run.run_id for run in ours)
        repeats = repeats_of(home, snapshot_id)
        facts = Facts(snapshot_id=snapshot_id, run_ids=run_ids, repeats=repeats)
        suspects = Suspects(facts.run_ids, ("valid", "test"), accept)
        with staging_folder(home, "ranks") as folder:
            staged = stage_ranks(home, snapshot_id, ours, folder)
            listed = any(run.lists for run in ours)
            suites = (*RANKS, *LISTS) if listed else RANKS
            _audit(home, staged, suites, facts, suspects, snapshot_id=snapshot_id)


@task(task_run_name="audit imported ranks of {imported.name}")
def audit_import(home: Home, imported: Imported, folder: Path, accept: Sequence[str] = ()) -> None:
    """Staged ranks of somebody else's model, by the suite that judges ours."""
    facts = Facts(
        snapshot_id=imported.snapshot_id,
        run_ids=(imported.run_id,),
        splits=imported.splits,
        protocols=imported.protocols,
        known_to=imported.known_to,
        repeats=repeats_of(home, imported.snapshot_id),
    )
    suspects = Suspects(facts.run_ids, imported.splits, accept)
    staged = audit_database(home, imported, folder)
    _audit(home, staged, RANKS, facts, suspects, snapshot_id=imported.snapshot_id)


@task(task_run_name="audit what came after {found.snapshot.label}")
def audit_next(
    home: Home, found: BacktestFiles, ranks: Mapping[str, Path], accept: Sequence[str] = ()
) -> None:
    """What came next and how it was ranked, against the snapshot that knew nothing of it."""
    facts = Facts(
        snapshot_id=found.snapshot.snapshot_id,
        run_ids=tuple(ranks),
        n_kept_users=found.snapshot.n_users,
        timestamp_min=Options(found.snapshot.as_of).midnight,
        own=rules_of(home, found.snapshot.load_id).own,
        repeats=found.snapshot.repeats,
    )
    suspects = Suspects(facts.run_ids, ("next",), accept)
    with staging_folder(home, "ahead") as folder:
        staged = stage_next_ranks(home, found, ranks, folder)
        _audit(home, staged, NEXT, facts, suspects, snapshot_id=found.snapshot.snapshot_id)


@task(task_run_name="accept {names}")
def accept_warnings(home: Home, run_ids: Sequence[str], names: Sequence[str]) -> None:
    """Accept what is suspected by these names of trainings that were published before, too."""
    accepted = suspicions.accept(home, run_ids, names)
    if accepted:
        note(f"accepted of what was published before: {', '.join(accepted)}")


@dataclass(frozen=True)
class Suspects:
    """Trainings under audit, the splits of their ranks, and what is accepted of them by name."""

    run_ids: Sequence[str]
    splits: Sequence[str]
    accept: Sequence[str]


NO_SUSPECTS = Suspects((), (), ())


def _audit(
    home: Home,
    database: Path,
    suites: Sequence[str],
    facts: Facts,
    suspects: Suspects = NO_SUSPECTS,
    **ids: str | None,
) -> None:
    from expectations.runner import audit  # takes seconds to import: only where it is used

    outcomes = audit(database, suites, facts)
    ends.check()  # an interrupted query is a failed expectation to the auditor, and none to us
    rows = [asdict(outcome) for outcome in outcomes]
    point("before an audit is stored")
    audit_id = store_outcomes(home, rows, **ids)
    point("after an audit is stored")
    if suspects.run_ids:
        found = {one.name: one.found for one in outcomes if one.name and not one.success}
        suspicions.store_warnings(
            home, audit_id, suspects.run_ids, suspects.splits, found, suspects.accept
        )
    accepted = set(suspects.accept)
    show_audit(" and ".join(suites), [row | {"accepted": row["name"] in accepted} for row in rows])
    _tell(outcomes, accepted)
    if stops(outcomes):
        raise _refusal(outcomes)


def _tell(outcomes: Sequence[Outcome], accepted: Collection[str]) -> None:
    held = sum(outcome.success for outcome in outcomes)
    note(f"audit: {held} of {len(outcomes)} expectations hold")
    for outcome in outcomes:
        if outcome.success:
            continue
        if outcome.name in accepted:
            note(f"accepted, {outcome.name}: {_suspected(outcome)}")
        elif outcome.name:
            to_do = f"Published with this mark; `--accept {outcome.name}` says that it is right"
            warn(f"warning, {outcome.name}: {_suspected(outcome)}. {outcome.reason} {to_do}.")
        else:
            warn(f"{outcome.severity}: {_said(outcome)}")


def _refusal(outcomes: Sequence[Outcome]) -> RefusedError:
    """The first failed critical expectation, with its offending rows."""
    failed = [one for one in outcomes if one.severity == "critical" and not one.success]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return RefusedError(
        f"The audit failed{more}",
        got=_said(failed[0]),
        to_do=f"{failed[0].reason} Nothing was published",
    )


def _suspected(outcome: Outcome) -> str:
    """The figures behind a suspicion: how many, and the first of a test split, else of all."""
    first = min(outcome.found, key=lambda row: row["split"] == "valid")
    return f"{len(outcome.found)} figures, such as {_row(first)}"


def _said(outcome: Outcome) -> str:
    counted = f", {outcome.unexpected_count:,} rows" if outcome.unexpected_count else ""
    rows = "; ".join(_row(row) for row in outcome.sample[:3])
    seen = f", saw {outcome.observed}" if outcome.observed and not rows else ""
    examples = f", such as {rows}" if rows else ""
    return f"{outcome.table_name}: {outcome.expectation}{counted}{seen}{examples}"


def _row(row: dict[str, Any]) -> str:
    left_out = ("load_id", "run_id")
    return ", ".join(f"{name} {value!r}" for name, value in row.items() if name not in left_out)
