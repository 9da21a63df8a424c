"""Trainings by the workers of a Prefect work pool, on any machines: submitted, followed, collected.

A group is a flow run of its own. Its key is its order's hash and the number of the attempt: whoever
asks for the same trainings again, after a crash or beside us, follows the same run.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import httpx
from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus, WorkPool
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.states import Crashed

from fpt_model.grouping import side_by_side
from tasks.at_once import at_once
from tasks.orders import PULSES, bring_result, put_order, with_results
from tasks.progress import note, report, warn
from tasks.temporary import temporary
from tasks.trainings import Training, is_ranked
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.shared_store import SharedStore, open_store
from warehouse.visible import counted

ENTRYPOINT = "flows.group.train_group"
FLOW = "train-group"
STORE, LOST = "FPT_STORE", "FPT_LOST_SECONDS"
LOST_SECONDS = 120.0  # a run without a sign of life for so long is taken over
PULSES_BEFORE_LOST = 12
START_FACTOR = 10  # from a worker that took a run to its first sign: images are fetched, pods wait
LOOK_SECONDS = 2.0
A_PAGE = 200  # the server's own limit
TOGETHER = 8  # seeds that train side by side on a GPU
DEATHS = 3  # of one group, then its trainings fail
# Every poll of every worker, busy or not, is answered with all runs that wait, up to a page: so few
# of them do, unless many are taken between two looks.
AHEAD = 16
REQUESTS = 16  # to the store at the same time
AWAY = (httpx.TransportError, PrefectHTTPStatusError)


@dataclass
class Group:
    """Seeds of the same settings, which one flow run trains.

    Attributes:
        trainings: all that were asked for, those that are done already too.
        order: name of its order in the store.
        run: the flow run.
        deaths: how many of its runs died while we followed them.
        seen: its last sign of life.
        since: when that came, or when a worker took it, by our own clock.
        taken: whether a worker has it.
        ended: nothing more is to come of it.
    """

    trainings: list[Training]
    order: str = ""
    run: UUID | None = None
    deaths: int = 0
    seen: str = ""
    since: float = field(default_factory=time.monotonic)
    taken: bool = False
    ended: bool = False

    @property
    def name(self) -> str:
        """What its run is called."""
        seeds = [one.seed for one in self.trainings]
        word = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
        first = self.trainings[0]
        return f"{first.group} {first.preset} {word}"


def store_of(url: str | None) -> SharedStore:
    """The store that is asked for, or set for all commands.

    Raises:
        RefusedError: none is, or it is of no use.
    """
    chosen = url or os.environ.get(STORE)
    if not chosen:
        raise RefusedError(
            "--pool needs a store that all machines reach",
            to_do=f"Give --store, or set {STORE}: a folder, s3://, gs:// or az://",
        )
    return open_store(chosen, warn)


def refuse_unready(pool: str, url: str | None) -> None:
    """Refuse at once what could not be trained for want of a server, a worker, or a store.

    Raises:
        RefusedError: there is none, or we may not use it.
    """
    store = store_of(url)
    if temporary.used:
        raise RefusedError(
            "--pool needs a Prefect server that the workers know",
            got="no PREFECT_API_URL",
            to_do="Start one (fpt up, or prefect server start) and set PREFECT_API_URL",
        )
    with get_client(sync_client=True) as client:
        found = _pool(client, pool)
        if not found.is_push_pool and not found.is_managed_pool and not _workers(client, pool):
            raise RefusedError(
                f"Pool {pool} has no worker",
                to_do=f"Start one where trainings should run: prefect worker start --pool {pool}",
            )
        own = client.read_flow_run(UUID(str(flow_run.id))) if flow_run.id else None
    if own is not None and own.work_pool_name == pool:
        raise RefusedError(
            f"This run is in pool {pool} itself, and would wait for its own end",
            to_do="Run it in another pool",
        )
    store.refuse_unusable()


def _pool(client: SyncPrefectClient, pool: str) -> WorkPool:
    try:
        found = client.read_work_pool(pool)
    except ObjectNotFound:
        known = ", ".join(sorted(one.name for one in client.read_work_pools()))
        raise RefusedError(
            "No such work pool",
            got=pool,
            expected=known or None,
            to_do=f"Make it: prefect work-pool create {pool} --type process",
        ) from None
    if found.is_paused:
        raise RefusedError(f"Pool {pool} is paused", to_do=f"Do: prefect work-pool resume {pool}")
    return found


def _workers(client: SyncPrefectClient, pool: str) -> int:
    workers = client.read_workers_for_work_pool(pool)
    return sum(one.status == WorkerStatus.ONLINE for one in workers)


def groups_of(asked: Iterable[Training], together: int) -> list[Group]:
    """Trainings that go to one worker: seeds of the same settings, so many of them at most."""
    alike = side_by_side(
        asked, lambda one: (one.snapshot.snapshot_id, one.config), lambda _: together
    )
    return [Group(seeds) for seeds in alike]


@task(task_run_name="train on pool {pool}")
def train(
    home: Home,
    asked: Sequence[Training],
    pool: str,
    store: str | None,
    device: str,
    gpus: int | None = None,
    together: bool = False,
) -> dict[str, str]:
    """Have all trained by workers of a pool, and bring what they left into this home.

    Args:
        home: of the one who publishes.
        asked: trainings, those that are ranked here already too.
        pool: name of the work pool.
        store: URL of the store.
        device: where workers train.
        gpus: of a worker's machine; all without it.
        together: whether all of those train one training after the other.

    Returns:
        What each training that failed died of, by its run's id; the others are here.

    Raises:
        RefusedError: the store refuses us.
    """
    shared = store_of(store)
    groups = groups_of(asked, 1 if device == "cpu" else TOGETHER)
    parameters = {"store": shared.url, "device": device, "gpus": gpus, "together": together}
    following = _Following(home, shared, pool, groups, parameters)
    following.collect_what_is_there()
    with get_client(sync_client=True) as client:
        following.begin(client)
        while following.active:
            time.sleep(LOOK_SECONDS)
            following.look(client)
    return following.failures


class _Following:
    """Groups at work in a pool, until each training is here or has failed."""

    def __init__(
        self,
        home: Home,
        store: SharedStore,
        pool: str,
        groups: Sequence[Group],
        parameters: dict[str, Any],
    ) -> None:
        self.home, self.store, self.pool, self.groups = home, store, pool, groups
        self.parameters = parameters
        self.failures: dict[str, str] = {}
        self.lost_seconds = float(os.environ.get(LOST, LOST_SECONDS))
        self.parameters["pulse"] = self.lost_seconds / PULSES_BEFORE_LOST
        self._told: set[str] = set()
        self._put: dict[str, Any] = {}

    @property
    def active(self) -> list[Group]:
        """Those of which something is to come."""
        return [group for group in self.groups if not group.ended]

    def collect_what_is_there(self) -> None:
        """Bring what earlier runs left in the store; groups that lack nothing are ended."""
        there = with_results(self.store)
        lacking = self._bring(self.groups, there)
        for group in self.groups:
            group.ended = not any(one.run_id in lacking for one in group.trainings)
        if done := len(self.groups) - len(self.active):
            note(f"{counted(done, 'group')}: trained before")

    def begin(self, client: SyncPrefectClient) -> None:
        """Submit the first groups of those that lack something."""
        if self.active:
            note(f"{counted(len(self.active), 'group')} for pool {self.pool}")
            self._submit_some(client, AHEAD)

    def _submit_some(self, client: SyncPrefectClient, ahead: int) -> None:
        """See that so many wait for a worker, each with a flow run of its own or one found."""
        active = self.active
        waiting = sum(group.run is not None and not group.taken for group in active)
        new = [group for group in active if group.run is None][: max(0, ahead - waiting)]
        if not new:
            return
        deployment = self._deployment(client)
        for group in new:
            group.order = put_order(self.store, group.trainings, self._put)
            self._submit(client, deployment, group)

    def _deployment(self, client: SyncPrefectClient) -> UUID:
        """The one of this pool. The flow is found by its module: no code is fetched."""
        return client.create_deployment(
            client.create_flow_from_name(FLOW),
            self.pool,
            work_pool_name=self.pool,
            entrypoint=ENTRYPOINT,
            enforce_parameter_schema=False,
        )

    def _submit(self, client: SyncPrefectClient, deployment: UUID, group: Group) -> None:
        for attempt in count():
            run = client.create_flow_run_from_deployment(
                deployment,
                parameters=self.parameters | {"order": group.order},
                name=group.name,
                tags=["group"],
                idempotency_key=f"{self.pool}-{group.order}-{attempt}",
            )
            if run.state is None or not run.state.is_final():  # else it ended before we came
                group.run, group.seen, group.since = run.id, "", time.monotonic()
                group.taken = False
                return

    def look(self, client: SyncPrefectClient) -> None:
        """See how far all are; what ended is collected, what died is submitted again."""
        with self._patient():
            self._warn_without_workers(client)
            pulses = self._pulses()
            runs = self._runs(client)
            waited = [group for group in self.active if group.run is not None and not group.taken]
            submitted = [group for group in self.active if group.run is not None]
            seen = [(one, self._see(client, one, runs.get(one.run), pulses)) for one in submitted]
            self._end([(group, cause) for group, cause in seen if cause])
            taken = sum(group.taken for group in waited)
            self._submit_some(client, min(A_PAGE, max(AHEAD, 2 * taken)))
        trainings = [one for group in self.groups for one in group.trainings]
        done = sum(len(group.trainings) for group in self.groups if group.ended)
        report(f"train on pool {self.pool}", done, len(trainings), self._latest())

    def _runs(self, client: SyncPrefectClient) -> dict[UUID | None, FlowRun]:
        """The flow runs of all groups at work, many by one request."""
        ids = [group.run for group in self.active if group.run is not None]
        parts = [ids[at : at + A_PAGE] for at in range(0, len(ids), A_PAGE)]
        wanted = [FlowRunFilter(id=FlowRunFilterId(any_=part)) for part in parts]
        return {run.id: run for one in wanted for run in client.read_flow_runs(flow_run_filter=one)}

    def _pulses(self) -> dict[str, str]:
        """Signs of life; while the store was away nobody could give one."""
        began = time.monotonic()
        found = self.store.pulses(PULSES)
        if time.monotonic() - began > LOOK_SECONDS:
            for group in self.active:
                group.since = time.monotonic()
        return found

    def _latest(self) -> str:
        ended = [group.name for group in self.groups if group.ended]
        return ended[-1] if ended else ""

    def _see(
        self, client: SyncPrefectClient, group: Group, run: FlowRun | None, pulses: dict[str, str]
    ) -> str | None:
        """How it ended, if it did."""
        if run is None or run.state is None:  # somebody deleted it
            return self._take_over(client, group)
        state = run.state
        group.taken = not state.is_scheduled()
        if state.is_crashed() or self._is_lost(group, run, pulses):
            self._give_up(client, run)
            return self._take_over(client, group)
        return (state.message or state.name or "it ended") if state.is_final() else None

    def _is_lost(self, group: Group, run: FlowRun, pulses: dict[str, str]) -> bool:
        """Whether a worker has it and shows no sign of life, as far as our own clock tells."""
        state = run.state
        assert state is not None
        seen = pulses.get(str(run.id), "")
        if not (state.is_running() or state.is_pending()) or seen != group.seen:
            group.seen, group.since = seen, time.monotonic()
            return False
        patience = self.lost_seconds * (1 if seen else START_FACTOR)
        return time.monotonic() - group.since > patience

    def _give_up(self, client: SyncPrefectClient, run: FlowRun) -> None:
        if run.state is not None and not run.state.is_final():
            gone: State[Any] = Crashed(message="No sign of life of it: another worker takes over")
            client.set_flow_run_state(run.id, gone, force=True)
        self.store.forget(f"{PULSES}/{run.id}")

    def _take_over(self, client: SyncPrefectClient, group: Group) -> str | None:
        """Have another worker go on; without hope, what it died of."""
        if group.deaths + 1 >= DEATHS:
            return f"its run died {DEATHS} times"
        self._submit(client, self._deployment(client), group)
        group.deaths += 1  # a server that goes away in between makes this no second death
        warn(f"{group.name}: its worker died; another one takes over")
        return None

    def _end(self, ended: Sequence[tuple[Group, str]]) -> None:
        """Collect what groups' runs left; what lacks has failed, of the cause beside its group."""
        lacking = self._bring([group for group, _ in ended])
        for group, cause in ended:
            for one in group.trainings:
                if one.run_id in lacking:
                    self.failures.setdefault(one.run_id, cause)
            group.ended = True

    def _bring(self, groups: Sequence[Group], there: set[str] | None = None) -> set[str]:
        """Bring groups' trainings here; the ids of those that are not in the store.

        `there` is which it may have, where that is known.
        """

        def lacks(one: Training) -> bool:
            if is_ranked(self.home, one):
                return False
            if there is not None and one.run_id not in there:
                return True
            try:
                return not bring_result(self.store, self.home, one.run_id)
            except RefusedError as error:
                self.failures[one.run_id] = str(error)
                return False

        asked = [one for group in groups for one in group.trainings]
        answers = at_once(lacks, asked, REQUESTS)
        return {one.run_id for one, lacking in zip(asked, answers, strict=True) if lacking}

    def _warn_without_workers(self, client: SyncPrefectClient) -> None:
        found = _pool(client, self.pool)
        is_served = found.is_push_pool or found.is_managed_pool or _workers(client, self.pool)
        self._tell_once("workers", bool(is_served), f"pool {self.pool} has no worker; waiting")

    @contextmanager
    def _patient(self) -> Iterator[None]:
        """A server that is away is waited for; what workers do goes on without it."""
        try:
            yield
        except AWAY as error:
            self._tell_once("server", False, f"Prefect's server does not answer; waiting: {error}")
        else:
            self._tell_once("server", True, "")

    def _tell_once(self, what: str, is_well: bool, text: str) -> None:
        if is_well:
            self._told.discard(what)
        elif what not in self._told:
            self._told.add(what)
            warn(text)
