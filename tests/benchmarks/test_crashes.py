"""The campaign of crashes: it reaches every named place of the code; a share of it, each time."""

import ast
import importlib
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from crash_content import Content

ROOT = Path(__file__).parents[2]
ROOMS = ("flows", "tasks", "warehouse", "expectations", "fpt_model")
PLACING = {"put_in_place", "put_link_in_place"}
SHARE = 4
MODELS = ("sasrec", "tisasrec", "sas_fpt", "sse_pt")
SHORT = ("--set", "epochs=4", "--set", "validate_every=2")
WAIT = 280


def calls(names: set[str]) -> Iterator[tuple[Path, str, ast.Call]]:
    """Calls of these functions, each with its file and the function it is in.

    A lake's are reached by its own tests, which say so: tests/warehouse/lake/test_withdrawing.py.
    """
    found = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    for path in (path for path in found if path.parent.name != "lake"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                        yield path, function.name, node


def places() -> list[str]:
    found = [call for path, _, call in calls({"point"}) if path.name != "placing.py"]
    return [ast.literal_eval(call.args[0]) for call in found if len(call.args) == 1]


def who_places_files() -> set[str]:
    return {f"{path.name}:{function}" for path, function, _ in calls(PLACING)}


def test_places_have_names_of_their_own():
    assert len(places()) >= 25
    assert len(set(places())) == len(places())
    assert not [name for name in places() if ":" in name]


@pytest.fixture
def crash_test():
    return importlib.import_module("crash_test")


def test_a_difference_is_lost_double_other_or_garbage(crash_test):
    from crash_content import Content, difference

    wanted = Content(
        Counter({("t", "a"): 1, ("t", "b"): 2}),
        Counter({("x", "y"): 1}),
        {"kept": "1", "changed": "1", "gone": "1"},
    )
    assert difference(wanted, wanted) == type(difference(wanted, wanted))([], [], [], [])
    got = Content(
        Counter({("t", "a"): 2, ("t", "c"): 1, ("t", "b"): 1}),
        Counter({("x", "y"): 3, ("x",): 1, ("x", "x", "y"): 1, ("z",): 1}),
        {"kept": "1", "changed": "2", "more": "1"},
    )
    found = difference(wanted, got)
    assert found.lost == ["t: b", "part of an audit: 1 rows", "file gone"]
    assert found.double == ["t: a", "audit: x"]
    assert found.other == ["t: c", "audit: z", "file changed"]
    assert found.garbage == ["more"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_place_is_reached_and_a_share_of_the_campaign_ends_well(crash_test, tmp_path):
    """Faults drawn with a fixed seed, and one undisturbed run of every scenario."""

    def share(seen):
        return random.Random(11).sample(crash_test.faults_of(seen, random.Random(7), 60), SHARE)

    report, seen = crash_test.campaign(tmp_path, share, workers=1)
    reached = {name for one in seen.values() for name in one.places}
    assert not set(places()) - reached
    assert not who_places_files() - {who for one in seen.values() for who in one.callers}
    assert (report.faults, report.lines, dict(report.counts)) == (SHARE, [], {})
    assert report.reads


@dataclass(frozen=True)
class Whole:
    """A home that the real command made undisturbed, what is in it, and how long it took."""

    archive: Path
    content: "Content"
    seconds: float


@pytest.fixture
def typed_in(forks) -> Path:
    """The real command in a fork."""
    forks.start()
    return forks.bin / "fpt"


@pytest.fixture
def whole(crash_test, shared, typed_in, lasting):
    """Made by the first test that needs it, as all make theirs."""
    from crash_content import content_of

    folder, took = shared / "undisturbed", shared / "undisturbed seconds"
    with FileLock(shared / "undisturbed.lock"):
        if not took.exists():
            shutil.rmtree(folder, ignore_errors=True)
            archive = crash_test.write_archive(shared / "crashing.zip")
            place = crash_test.Typed(folder, archive, words(*MODELS), lasting, typed_in)
            status, seconds = place.do(None)
            place.end()
            assert status == 0, place.log.read_text()
            took.write_text(str(seconds))
    content = content_of(folder / "home")
    return Whole(shared / "crashing.zip", content, float(took.read_text()))


def words(*models: str) -> list[str]:
    return [*SHORT, *(word for model in models for word in ("--model", model))]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_command_killed_and_typed_again(
    crash_test, whole, typed_in, prefect_home, tmp_path
):
    report = crash_test.Report()
    faults = [
        crash_test.Fault("run", "after the rename to *-*.duckdb", "kill", 2),
        crash_test.Fault("run", share=0.6),
    ]
    told = {"PREFECT_HOME": str(prefect_home(tmp_path / "prefect"))}
    place = crash_test.Typed(tmp_path / "typed", whole.archive, words(*MODELS), told, typed_in)
    seen = crash_test.Seen(whole.content, whole.seconds, Counter(), set())
    crash_test.typed(place, lambda _: faults, report, seen)
    assert (report.faults, report.lines) == (2, [])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_runs_at_once_on_one_home(crash_test, whole, typed_in, lasting, tmp_path):
    """Four ask for the same and four for other models: all end well, or say who is at it.

    Two have temporary servers of their own, in one home of Prefect's, which is new.
    """
    from crash_content import content_of, difference

    asked = [("sasrec",)] * 4 + [("tisasrec",), ("sas_fpt",), ("sse_pt",), ("sas_fpt", "sasrec")]
    own = {"PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200"}
    own["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = str(WAIT)
    home = tmp_path / "home"

    def typed(
        number: int, models: tuple[str, ...], told: dict[str, str]
    ) -> tuple[subprocess.Popen, Path]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
        options = ["--dataset", "ml-1m", "--source", whole.archive, "--retention", "cold-start"]
        command = [typed_in, "run", *options, *words(*models), "--home", home]
        log = tmp_path / f"{number}.log"
        with log.open("w") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, env=clean | own | told), log

    servers = [{}, lasting, lasting, lasting] * 2
    running = [typed(number, *one) for number, one in enumerate(zip(asked, servers, strict=True))]
    ends = [(process.wait(1500), log.read_text()) for process, log in running]
    wrong = [said for code, said in ends if code and "is in use by" not in " ".join(said.split())]
    assert not wrong, "\n\n".join(f"{code}: {said}" for code, said in ends)
    assert not [said for _, said in ends if "Traceback" in said]
    assert any(code == 0 for code, _ in ends)
    process, log = typed(len(asked), MODELS, lasting)
    assert process.wait(600) == 0, log.read_text()
    found = difference(whole.content, content_of(home))
    lost = [one for one in found.lost if not one.startswith("audit")]  # of the trainings together
    assert (lost, found.double, found.garbage) == ([], [], [])
