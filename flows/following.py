"""What `fpt up` says of runs: each that starts and each that ends, as its server knows them."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

from flows.serving import authorization

Row = dict[str, Any]
LOOK_SECONDS = 1.0  # between two looks
ANSWER_SECONDS = 2.0  # for the server to answer; then the next look sees it
KNOWN_SECONDS = 600.0  # how far back a look goes: a server that was away this long lost nothing
MOST = 200  # the server gives no more rows at once
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
TOP = {"parent_task_run_id": {"is_null_": True}}  # no flow that another flow called


@dataclass(frozen=True)
class News:
    """A run that started or ended.

    Attributes:
        at: when (UTC).
        deployment: whose run it is; None for one that was started by hand.
        run: its name.
        state: `started`, or how it ended.
        seconds: how long it ran; None where it has only started, or never did.
        cause: why it did not complete.
    """

    at: datetime
    deployment: str | None
    run: str
    state: str
    seconds: float | None = None
    cause: str | None = None


def in_words(news: News) -> str:
    """A line for people.

    >>> in_words(News(datetime(2026, 1, 1, 2, 15, 9), "nightly", "ml-1m", "failed", 3.21, "why"))
    '2026-01-01 02:15:09 UTC  nightly: failed after 3.2 s, ml-1m (why)'
    """
    after = "" if news.seconds is None else f" after {news.seconds:.1f} s"
    cause = f" ({news.cause})" if news.cause else ""
    whose = news.deployment or "by hand"
    return f"{news.at:%Y-%m-%d %H:%M:%S} UTC  {whose}: {news.state}{after}, {news.run}{cause}"


def as_row(news: News) -> Row:
    """The same for programs."""
    return asdict(news) | {"at": news.at.isoformat(timespec="milliseconds")}


class Following:
    """Looks at a server's runs again and again, and tells what is new.

    A run is told at the second look that sees it: Prefect names it a moment after it started.
    """

    def __init__(self, api: str, password: str | None, tell: Callable[[News], None]) -> None:
        self._api = api
        self._headers = {"Content-Type": "application/json"} | authorization(password)
        self._tell = tell
        self._since = datetime.now(UTC)
        self._seen: set[str] = set()
        self._started: set[str] = set()
        self._ended: set[tuple[str, str]] = set()
        self._deployments: dict[str, str] = {}

    def look(self) -> None:
        """Tell what is new; a server that does not answer is asked again at the next look."""
        with suppress(OSError, ValueError):
            since = max(self._since, datetime.now(UTC) - timedelta(seconds=KNOWN_SECONDS))
            ended = {"end_time": {"after_": since.isoformat()}}
            running = {"state": {"type": {"any_": ["RUNNING"]}}}
            for row in reversed(self._runs(ended, "END_TIME_DESC")):
                self._end(row)
            for row in reversed(self._runs(running, "START_TIME_DESC")):
                self._start(row)

    def _start(self, row: Row) -> None:
        identity, since = row["id"], row["state"]["timestamp"]  # of a resumed run: the second start
        if datetime.fromisoformat(since) < self._since:
            return  # it was left so by a process that died
        if identity in self._seen and identity not in self._started:
            self._started.add(identity)
            self._tell(self._news(row, "started", since))
        self._seen.add(identity)

    def _end(self, row: Row) -> None:
        identity, kind = row["id"], row["state_type"]
        if kind not in ENDS or (identity, row["end_time"]) in self._ended:
            return
        ran = row["run_count"] > 0  # Prefect gives one that never ran a start as well
        if identity not in self._started and ran:  # between two looks
            self._tell(self._news(row, "started", row["start_time"]))
        self._seen.discard(identity)
        self._started.discard(identity)  # it may be resumed
        self._ended.add((identity, row["end_time"]))
        seconds = row["total_run_time"] if ran else None
        cause = row["state"].get("message") if kind != "COMPLETED" else None
        self._tell(self._news(row, kind.lower(), row["end_time"], seconds, cause))

    def _news(
        self,
        row: Row,
        state: str,
        at: str,
        seconds: float | None = None,
        cause: str | None = None,
    ) -> News:
        moment = datetime.fromisoformat(at).astimezone(UTC)
        return News(
            moment, self._deployment(row["deployment_id"]), row["name"], state, seconds, cause
        )

    def _deployment(self, identity: str | None) -> str | None:
        if identity and identity not in self._deployments:
            rows = self._ask("deployments/filter", {"limit": MOST})
            self._deployments = {row["id"]: row["name"] for row in rows}
        return self._deployments.get(identity or "")

    def _runs(self, which: Row, sort: str) -> list[Row]:
        asked = {"flow_runs": which | TOP, "sort": sort, "limit": MOST}
        return self._ask("flow_runs/filter", asked)

    def _ask(self, path: str, body: Row) -> list[Row]:
        request = Request(f"{self._api}/{path}", json.dumps(body).encode(), self._headers)
        with urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return list(json.load(answer))
