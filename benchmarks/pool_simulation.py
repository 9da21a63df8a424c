"""What 1 to 1,000 workers of a pool would do, simulated from parts that were measured.

    python benchmarks/pool_simulation.py

Reads docs/results/many_workers.json (benchmarks/many_workers.py measured it) and simulates event by
event: workers poll, run into each other, start, fetch, train, tell how far they are, put back; the
publisher submits, looks, brings, publishes. Prefect's server answers one request after the other,
in as much time as it took of its processor. The store answers any number at once. Workers are on
machines of their own. The names of `Ways` say what is ours to choose, before and after.
"""

import argparse
import heapq
import random
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from statistics import median

from harness import RESULTS, ROOT, Row, put, read_json, table, write_json

MEASURED = RESULTS / "many_workers.json"
FILE = RESULTS / "pool_simulation.json"
PAGE = ROOT / "docs" / "how-to" / "many-machines.md"
SIZES = (1, 2, 10, 30, 100, 300, 1000)
A_PAGE = 200  # runs that the server answers a poll with, or a look
LISTED = 1000  # objects that a store answers a list with
JITTER = 0.3  # of a worker's polls
LOOK_SECONDS = 2.0  # of the publisher
BEAT_SECONDS = 30.0  # of Prefect's workers
FILES = 6  # that a training leaves
PATIENCE = 20  # times the ideal
SEEDS = 8  # of a group
API = "Prefect's API"
Process = Generator[float, None, None]


@dataclass(frozen=True)
class Parts:
    """Seconds of each part.

    Attributes:
        request: of the server's processor, for an ordinary request.
        poll: for a poll that finds nothing.
        poll_run: for each run that a poll finds.
        read_run: for each run that the publisher looks at.
        create: for a new flow run.
        log: for a log's lines.
        progress: for an artifact that is brought up to date.
        requests: ordinary requests of a group, from its start to its end.
        start: of a worker's process until it trains.
        store: one request to the store.
        publish: of the publisher, for a training: checked, audited and published.
        publish_once: for all of them.
    """

    request: float
    poll: float
    poll_run: float
    read_run: float
    create: float
    log: float
    progress: float
    requests: float
    start: float
    store: float
    publish: float
    publish_once: float


@dataclass(frozen=True)
class Ways:
    """How we use them.

    Attributes:
        ahead: groups that wait for a worker, or twice as many as were taken between two looks;
            None for all of them.
        tells: seconds between two updates of progress of a group.
        logs: seconds between two lines of its log.
        bring: requests to the store for a training's result.
        asks: whether each training is looked for at the beginning by a request of its own.
        at_once: requests of the publisher to the store at a time.
        poll: seconds between a worker's polls.
        alone: whether one of Prefect's workers starts all (a Kubernetes pool).
    """

    ahead: int | None
    tells: float
    logs: float
    bring: int
    asks: bool
    at_once: int
    poll: float = 10.0
    alone: bool = False


BEFORE = Ways(ahead=None, tells=5.0 / 8, logs=10.0, bring=2 + 2 * FILES, asks=True, at_once=1)
AFTER = Ways(ahead=16, tells=60.0, logs=60.0, bring=2 + FILES, asks=False, at_once=16)
POLLS_A_SECOND = 10


def ways_of(workers: int) -> dict[str, Ways]:
    """Those that are compared, by name."""
    rarely = replace(AFTER, poll=max(10.0, workers / POLLS_A_SECOND))
    return {
        "before": BEFORE,
        "after": AFTER,
        "fewer polls": rarely,
        "one worker starts all": replace(AFTER, alone=True),
    }


@dataclass(frozen=True)
class Sweep:
    """What is to be trained.

    Attributes:
        workers: each trains one group at a time.
        groups: of all of them.
        seeds: of a group.
        trains: seconds of a group.
    """

    workers: int
    groups: int
    seeds: int
    trains: float


@dataclass
class Server:
    """Answers one request after the other."""

    free: float = 0.0
    busy: float = 0.0

    def answered(self, now: float, seconds: float) -> float:
        """Seconds until a request that takes so long is answered."""
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free - now


@dataclass
class World:
    """All that is at work; `now` is in seconds since the command began."""

    parts: Parts
    ways: Ways
    sweep: Sweep
    now: float = 0.0
    api: Server = field(default_factory=Server)
    waiting: list[int] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    ended: list[int] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    collisions: int = 0
    done: bool = False

    def __post_init__(self) -> None:
        self.random, self._number = random.Random(0), count()
        self._queue: list[tuple[float, int, Process]] = []

    def start(self, process: Process, after: float = 0.0) -> None:
        """Let it begin."""
        heapq.heappush(self._queue, (self.now + after, next(self._number), process))

    def run(self, limit: float) -> float:
        """Until all is published, or too much time is over; the seconds that took."""
        while self._queue and not self.done and self.now < limit:
            self.now, _, process = heapq.heappop(self._queue)
            for pause in process:
                self.start(process, pause)
                break
        return self.now

    def ask(self, seconds: float, times: float = 1.0) -> float:
        """Ask Prefect's server; seconds until it answered."""
        return self.api.answered(self.now, seconds * times)

    def worker(self) -> Process:
        """Polls, whether it is free or not, as Prefect's workers do."""
        yield self.random.random() * self.ways.poll
        state = {"free": True}
        self.start(self._beat())
        while True:
            found = self.waiting[:A_PAGE]
            yield self.ask(self.parts.poll + self.parts.poll_run * len(found))
            if found and state["free"]:
                state["free"] = False
                self.start(self._take(found[0], state))
            yield self.ways.poll * self.random.uniform(1 - JITTER, 1 + JITTER)

    def dispatcher(self) -> Process:
        """The one worker of a pool whose runs are pods: takes all that it finds."""
        self.start(self._beat())
        places = [{"free": True} for _ in range(self.sweep.workers)]
        while True:
            found = self.waiting[:A_PAGE]
            yield self.ask(self.parts.poll + self.parts.poll_run * len(found))
            free = [state for state in places if state["free"]]
            for group, state in zip(found, free, strict=False):
                state["free"] = False
                self.start(self._take(group, state))
            yield self.ways.poll * self.random.uniform(1 - JITTER, 1 + JITTER)

    def _beat(self) -> Process:
        while True:
            yield self.ask(self.parts.request)
            yield BEAT_SECONDS

    def _take(self, group: int, state: dict[str, bool]) -> Process:
        """Have the server say whose it is; of several that try, one gets it."""
        yield self.ask(self.parts.request, 2)
        if group in self.taken:
            self.collisions += 1
        else:
            self.taken.add(group)
            self.waiting.remove(group)
            yield from self._train(group)
        state["free"] = True

    def _train(self, group: int) -> Process:
        parts, ways = self.parts, self.ways
        yield self.ask(parts.request, parts.requests / 2)
        yield parts.start
        end = self.now + self.sweep.trains
        self.start(self._tell(ways.tells, parts.progress, end))
        self.start(self._tell(ways.logs, parts.log, end))
        yield self.sweep.trains
        yield self.sweep.seeds * (3 + 2 * FILES) * parts.store
        yield self.ask(parts.request, parts.requests / 2)
        self.ended.append(group)

    def _tell(self, every: float, seconds: float, end: float) -> Process:
        while self.now < end:
            yield every
            yield self.ask(seconds)

    def publisher(self) -> Process:
        """Submits, looks, brings; at the end collects and publishes."""
        parts, ways, sweep = self.parts, self.ways, self.sweep
        began = self.now
        trainings = sweep.groups * sweep.seeds
        requests = trainings if ways.asks else trainings / LISTED
        yield requests * parts.store
        self._spend("looking for what is there", began)
        submitted = brought = taken = 0
        while brought < sweep.groups:
            began = self.now
            taken, before = len(self.taken), taken
            ahead = min(A_PAGE, max(ways.ahead or 0, 2 * (taken - before)))
            room = sweep.groups if ways.ahead is None else ahead - len(self.waiting)
            for group in range(submitted, min(sweep.groups, submitted + max(0, room))):
                yield 2 * parts.store
                yield self.ask(parts.create)
                self.waiting.append(group)
                submitted = group + 1
            self._spend("submitting", began)
            began = self.now
            active = submitted - brought
            yield (1 + sweep.workers // LISTED) * parts.store
            yield self.ask(parts.request, 2 + active // A_PAGE)
            yield self.ask(parts.read_run, active)
            self._spend("looking", began)
            began, ended, self.ended = self.now, self.ended, []
            yield len(ended) * sweep.seeds * ways.bring * parts.store / ways.at_once
            brought += len(ended)
            self._spend("bringing", began)
            yield LOOK_SECONDS
        began = self.now
        yield parts.publish_once + trainings * parts.publish
        self._spend("publishing", began)
        self.done = True

    def _spend(self, what: str, began: float) -> None:
        self.spent[what] = self.spent.get(what, 0.0) + self.now - began


def simulated(parts: Parts, ways: Ways, sweep: Sweep) -> Row:
    """What comes of it; without `seconds` where it would take `PATIENCE` times as long as ideal."""
    world = World(parts, ways, sweep)
    world.start(world.publisher())
    if ways.alone:
        world.start(world.dispatcher())
    else:
        for _ in range(sweep.workers):
            world.start(world.worker())
    ideal = -(-sweep.groups // sweep.workers) * sweep.trains
    last = parts.publish_once + sweep.groups * sweep.seeds * parts.publish
    seconds = world.run(PATIENCE * ideal + last)
    publishing = world.spent.get("publishing", 0.0)
    shares = {
        API: min(1.0, world.api.busy / (seconds - publishing)),
        "bringing": world.spent.get("bringing", 0.0) / (seconds - publishing),
        "publishing": publishing / seconds,
    }
    return {
        "workers": sweep.workers,
        "groups": sweep.groups,
        "seconds": seconds if world.done else None,
        "ideal": ideal,
        "efficiency": ideal / seconds if world.done else None,
        "shares": shares,
        "in_vain": world.collisions / sweep.groups,
        "spent": world.spent,
        "first": max(shares, key=lambda name: shares[name]),
    }


def check(measured: Row, row: Row) -> Row:
    """A measured sweep beside what the simulation has in its place."""
    parts = parts_of(measured, store=0.01, start=started(row))
    sweep = Sweep(row["workers"], row["trainings"], 1, row["phases"]["trains"])
    found = simulated(parts, replace(BEFORE, poll=2.0, tells=5.0), sweep)
    print(f"{row['workers']} workers: measured {row['seconds']:.0f} s, simulated", end=" ")
    print(f"{found['seconds']:.0f} s")
    return {"workers": row["workers"], "measured": row["seconds"], "simulated": found["seconds"]}


def started(row: Row) -> float:
    """Seconds of a group beside those in which it trains."""
    return float(sum(row["phases"][name] for name in ("starts", "fetches", "puts")))


def parts_of(measured: Row, store: float, start: float | None) -> Parts:
    """What was measured, in seconds."""
    start = start or median(map(started, measured["sweeps"]))
    server = {name: one["server"] / 1000 for name, one in measured["api"].items()}
    few, many = measured["publishing"]["commands"]
    publish = (many["cpu"] - few["cpu"]) / (many["trainings"] - few["trainings"])
    once = few["cpu"] - publish * few["trainings"]
    poll = server["poll, none waits"]
    return Parts(
        request=server["set a state"],
        poll=poll,
        poll_run=max(0.0, server["poll, 200 wait"] - poll) / A_PAGE,
        read_run=server["read 200 runs"] / A_PAGE,
        create=server["create a run"],
        log=server["log of one line"],
        progress=server["progress"],
        requests=requests_of(measured["sweeps"]),
        start=start,
        store=store,
        publish=publish,
        publish_once=max(0.0, once),
    )


def requests_of(sweeps: list[Row]) -> float:
    """Requests of a group that neither polls nor looks nor tells progress."""
    left_out = ("work_pools", "flow_runs/filter", "artifacts", "logs")
    found = [
        sum(n for name, n in row["requests"].items() if not any(one in name for one in left_out))
        for row in sweeps
    ]
    return sum(found) / len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trains", type=float, nargs="*", default=[60.0, 600.0], help="seconds")
    parser.add_argument("--groups", type=int, default=4, help="of each worker")
    parser.add_argument("--store", type=float, default=0.03, help="seconds of a request to it")
    parser.add_argument("--start", type=float, help="seconds until a run trains, if not measured")
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name} and the table")
    asked = parser.parse_args()
    measured = read_json(MEASURED)
    parts = parts_of(measured, asked.store, asked.start)
    checked = [check(measured, row) for row in measured["sweeps"]]
    rows = []
    for trains in asked.trains:
        for workers in SIZES:
            for name, ways in ways_of(workers).items():
                sweep = Sweep(workers, asked.groups * workers, SEEDS, trains)
                rows.append({"trains": trains, "ways": name} | simulated(parts, ways, sweep))
                print(shown(rows[-1]), flush=True)
    if asked.record:
        facts: Row = {"parts": asdict(parts), "before": asdict(BEFORE), "after": asdict(AFTER)}
        facts["checked"] = checked
        facts["seeds"] = SEEDS
        write_json(FILE, facts | {"rows": rows})
        put(PAGE, "simulated", page(read_json(FILE)))


def page(found: Row) -> str:
    """The table of docs/how-to/many-machines.md: minutes until all is trained."""
    names = ("before", "after", "fewer polls", "one worker starts all")
    lines = []
    for trains in dict.fromkeys(row["trains"] for row in found["rows"]):
        for workers in SIZES:
            by_name = {
                row["ways"]: row
                for row in found["rows"]
                if (row["trains"], row["workers"]) == (trains, workers)
            }
            ideal = by_name["after"]["ideal"]
            last = by_name["one worker starts all"]
            publishing = last["groups"] * found["seeds"] * found["parts"]["publish"]
            cells = [minutes(trained(by_name[name])) for name in names]
            busy = [f"{by_name[name]['shares'][API]:.0%}" for name in ("before", names[-1])]
            head = [f"{trains:.0f} s", str(workers), minutes(ideal)]
            lines.append([*head, *cells, *busy, minutes(publishing)])
    header = ["a group", "workers", "at best", *names, "API busy, before", "API busy, last"]
    return table([*header, "then publishing"], lines)


def trained(row: Row) -> float | None:
    """Seconds until all is trained and brought, if that came."""
    return row["seconds"] - row["spent"]["publishing"] if row["seconds"] else None


def minutes(seconds: float | None) -> str:
    """In words.

    >>> minutes(90.0), minutes(6000.0), minutes(None)
    ('1.5', '100', 'no end')
    """
    if seconds is None:
        return "no end"
    return f"{seconds / 60:.1f}" if seconds < 600 else f"{seconds / 60:.0f}"


def shown(row: Row) -> str:
    seconds = f"{row['seconds']:8.0f}" if row["seconds"] else "too many"
    shares = ", ".join(f"{name} {share:.0%}" for name, share in row["shares"].items())
    spent = ", ".join(f"{name} {one:.0f} s" for name, one in row["spent"].items())
    return (
        f"{row['trains']:5.0f} s, {row['workers']:5} workers, {row['ways']:21}: "
        f"{seconds} s, ideal {row['ideal']:6.0f}; {shares}; "
        f"in vain {row['in_vain']:5.2f} a group; {spent}"
    )


if __name__ == "__main__":
    main()
