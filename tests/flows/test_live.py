"""`fpt up` as a user has it: a schedule fires, the browser shows its run, an alarm calls, all ends.

One server for all tests of this file; the last one stops it.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.processes import _children_by_parent, _descendants, lives
from warehouse.home import Home
from warehouse.publishing import store_outcomes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--virtual-time-budget=15000", "--dump-dom"),
]
EVERY_SECONDS = 20
HERE = "127.0.0.1:4200"  # where the page says that the server is


@dataclass
class Live:
    """A running `fpt up`."""

    process: subprocess.Popen
    home: Path
    url: str
    environment: dict[str, str]
    called: list[dict]
    log: Path
    said: list[dict]

    @property
    def settings(self) -> dict:
        """What a client of ours needs: the address, and the home's own password."""
        secret = (self.home / "up.password").read_text().strip()
        return {PREFECT_API_URL: f"{self.url}/api", PREFECT_API_AUTH_STRING: secret}

    def runs(self, deployment: str) -> list[FlowRun]:
        """Runs of a deployment, the oldest first."""
        with temporary_settings(self.settings):  # noqa: SIM117
            with get_client(sync_client=True) as client:
                wanted = {one.id for one in client.read_deployments() if one.name == deployment}
                found = [run for run in client.read_flow_runs() if run.deployment_id in wanted]
        return sorted(found, key=lambda run: run.expected_start_time)


@pytest.fixture(scope="module")
def called():
    """What the webhook was told, as it is called."""
    told: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield told, f"http://127.0.0.1:{server.server_port}/alarm"
        server.shutdown()


@pytest.fixture(scope="module")
def table(tmp_path_factory, archive) -> Path:
    """A folder with our prefect.yaml and one more row in it, as a user would add it."""
    folder = tmp_path_factory.mktemp("table")
    content = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    nightly = next(one for one in content["deployments"] if one["name"] == "nightly")
    parameters = {"dataset": "ml-1m", "source": str(archive), "retention": "cold-start"}
    parameters |= {"models": ["sas_fpt", "sasrec"], "preset": "quick"}
    often = {"name": "often", "parameters": parameters, "schedules": [{"interval": EVERY_SECONDS}]}
    content["deployments"].append(nightly | often)
    (folder / "prefect.yaml").write_text(yaml.safe_dump(content))
    return folder


def own_port() -> int:
    """A free port: both workers of a suite would find the default one free at the same moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def live(finished, copy_home, called, table, tmp_path_factory):
    home = copy_home(finished[0], tmp_path_factory.mktemp("live") / "home")
    warn(home)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
    environment |= {"FPT_ALARM_WEBHOOK": called[1], "FPT_HOME": str(home)}
    log = home / "up.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [BIN / "fpt", "up", "--port", str(own_port()), "--json"],
            cwd=table,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    line = process.stdout.readline()
    assert line, log.read_text()
    said = [json.loads(line)]
    threading.Thread(
        target=lambda: said.extend(map(json.loads, process.stdout)), daemon=True
    ).start()
    yield Live(process, home, said[0]["ui"], environment, called[0], log, said)
    process.terminate()
    process.wait(30)


def warn(home: Path) -> None:
    """An audit that warned."""
    outcome = {"table_name": "raw.ratings", "expectation": "stars are whole", "sample": []}
    outcome |= {"severity": "warning", "success": False, "observed": "4.5"}
    store_outcomes(Home(home), [outcome | {"unexpected_count": 3, "reason": "why"}], load_id="l1")


def wait_for(question, seconds: float = 180.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.5)
    raise AssertionError(f"it did not come within {seconds:.0f} s")


def completed(live: Live, deployment: str) -> list[FlowRun]:
    return [run for run in live.runs(deployment) if run.state_type == StateType.COMPLETED]


@pytest.fixture
def logged_in(live) -> Iterator[str]:
    """The UI as somebody has it who has given the password: a proxy that adds it."""
    secret = live.settings[PREFECT_API_AUTH_STRING]
    added = {"Authorization": f"Basic {b64encode(secret.encode()).decode()}"}

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            kept = {k: v for k, v in self.headers.items() if k in ("Accept", "Content-Type")}
            body = self.rfile.read(size) if size else None
            asked = Request(live.url + self.path, body, kept | added, method=self.command)
            try:
                with urlopen(asked, timeout=30) as answer:
                    status, kind, text = (
                        answer.status,
                        answer.headers["Content-Type"],
                        # the new pages ask in the browser's own store, which is empty
                        answer.read().replace(b'"auth":"BASIC"', b'"auth":null'),
                    )
            except HTTPError as error:
                status, kind, text = error.code, "application/json", error.read()
            self.send_response(status)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the library's names

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def page(url: str, folder: Path) -> str:
    """What a browser shows at `url`, after fifteen seconds of its own time."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "--virtual-time-budget=15000"]
    done = subprocess.run(
        [*command, "--dump-dom", url], capture_output=True, text=True, timeout=120
    )
    return unescape(done.stdout)


def fpt(live: Live, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [BIN / "fpt", *words], env=live.environment, capture_output=True, text=True, timeout=120
    )


def test_every_part_answers(live):
    done = fpt(live, "up", "--check", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    states = {row["check"]: row["state"] for row in json.loads(done.stdout)}
    good = {"server", "pool cpu", "worker cpu", "pool gpu", "deployment nightly", "alarm"}
    assert {check for check, state in states.items() if state == "good"} >= good


def test_who_has_no_password_gets_nothing(live):
    """Nor is it in what it says, in logs, in process arguments or in runs' parameters."""
    for path in ("flow_runs/filter", "deployments/filter"):
        asked = Request(f"{live.url}/api/{path}", b"{}", {"Content-Type": "application/json"})
        with pytest.raises(HTTPError, match="401"):
            urlopen(asked, timeout=30)
    secret = live.settings[PREFECT_API_AUTH_STRING]
    said = [path.read_text(errors="replace") for path in (live.home / "logs").iterdir()]
    typed = [
        Path(f"/proc/{pid}/cmdline").read_text()
        for pid in _descendants([live.process.pid], _children_by_parent())
    ]
    given = [str(run.parameters) for run in live.runs("often")]
    for text in (*said, *typed, *given, live.log.read_text()):
        assert secret not in text
        assert secret.partition(":")[2] not in text


def test_a_second_one_is_refused(live):
    done = fpt(live, "up")
    assert done.returncode == 3
    assert "It is up already" in done.stderr
    assert live.url in done.stderr


def test_a_wrong_parameter_is_named_and_no_run_is_made(live):
    before = len(live.runs("nightly"))
    with (
        temporary_settings(live.settings),
        get_client(sync_client=True) as client,
    ):
        nightly = client.read_deployment_by_name("run/nightly")
        for name, value in {"preset": "huge", "seeds": 0, "retention": "6-core"}.items():
            with pytest.raises(PrefectHTTPStatusError, match=f"field '{name}'"):
                client.create_flow_run_from_deployment(nightly.id, parameters={name: value})
    assert len(live.runs("nightly")) == before


def test_a_schedule_fires_by_itself_and_does_what_is_needed(live):
    trained_before = (live.home / "runs").stat().st_mtime_ns
    (first, *_) = wait_for(lambda: completed(live, "often"))
    assert first.auto_scheduled
    assert first.name == "ml-1m cold-start: sas_fpt, sasrec, quick"
    assert {"ml-1m", "cold-start", "quick", "nightly", "pipeline"} <= set(first.tags)
    assert (live.home / "runs").stat().st_mtime_ns == trained_before
    assert "nothing to do: all of it is published already" in worker_log(live)


def test_each_run_that_starts_and_ends_is_a_line(live):
    def news(state: str) -> list[dict]:
        return [
            one for one in live.said if (one.get("deployment"), one["state"]) == ("often", state)
        ]

    first = wait_for(lambda: news("completed"))[0]
    assert first["run"] == "ml-1m cold-start: sas_fpt, sasrec, quick"
    assert 0 < first["seconds"] < EVERY_SECONDS * 9
    begun = news("started")[0]
    assert begun["run"] == first["run"]
    assert begun["at"] < first["at"]
    assert "seconds" not in begun


def worker_log(live: Live) -> str:
    return (live.home / "logs" / "worker-cpu.log").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_a_browser_shows_the_run_its_state_and_its_artifacts(live, logged_in, tmp_path):
    run = wait_for(lambda: completed(live, "often"))[0]
    seen = page(f"{logged_in}/runs/flow-run/{run.id}", tmp_path / "a")
    assert run.name in seen
    assert "Completed" in seen
    seen = page(f"{logged_in}/v2/runs/flow-run/{run.id}?tab=Artifacts", tmp_path / "b")
    for key in ("metrics", "learning-curves", "rows"):
        assert f">{key}<" in seen
    curves = artifact(live, run, "learning-curves")
    seen = page(f"{logged_in}/artifacts/artifact/{curves}", tmp_path / "c")
    assert re.search(r'<img[^>]*src="data:image/svg\+xml;base64,', seen)


def artifact(live: Live, run: FlowRun, key: str) -> str:
    with (
        temporary_settings(live.settings),
        get_client(sync_client=True) as client,
    ):
        found = client.read_artifacts()
    return next(str(one.id) for one in found if one.flow_run_id == run.id and one.key == key)


def test_an_alarm_calls_the_webhook_once(live):
    """`fpt up` looks after the pipeline at once; the audit had warned before."""
    (told,) = wait_for(lambda: live.called)
    assert told == {
        "text": "warning in raw.ratings: stars are whole",
        "event": "fpt.alarm.audit",
    }
    said = [run.state.message or "" for run in live.runs("monitoring")]
    assert [("stars are whole" in message) for message in said].count(True) == 1


def test_commands_of_the_page_work(live):
    """Those of docs/how-to/schedule.md that start no server; this file is one that is started."""
    text = (ROOT / "docs" / "how-to" / "schedule.md").read_text()
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    starts = [line for line in lines if re.search(r"fpt up(?! --check)", line)]
    others = [line for line in lines if line not in starts]
    script = "\n".join(others).replace(".venv/bin", str(BIN)).replace(f"http://{HERE}", live.url)
    command = ["bash", "-euxc", script]
    done = subprocess.run(
        command, env=live.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(others) >= 5
    assert "sasrec" in done.stdout
    (asked,) = [run for run in live.runs("nightly") if not run.auto_scheduled]
    assert asked.parameters["seeds"] == 1


def test_a_killed_server_is_started_again(live):
    (server,) = [
        pid
        for pid in _children_by_parent()[live.process.pid]
        if b"server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: not lives(server))
    wait_for(lambda: fpt(live, "up", "--check").returncode == 0)
    assert live.process.poll() is None


def test_an_interrupt_ends_all_of_it_within_ten_seconds(live):
    family = _descendants([live.process.pid], _children_by_parent())
    assert len(family) >= 2
    started = time.monotonic()
    live.process.terminate()
    assert live.process.wait(30) == 0, live.log.read_text()
    assert time.monotonic() - started < 10
    assert [pid for pid in family if lives(pid)] == []
    wait_for(lambda: live.said[-1] == {"state": "stopped"}, 5)
    assert fpt(live, "up", "--check").returncode == 1
