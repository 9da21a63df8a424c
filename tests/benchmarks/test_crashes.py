"""The campaign of crashes: it reaches every named place of the code; a share of it, each time."""

import ast
import importlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("flows", "tasks", "warehouse", "expectations", "fpt_model")
PLACING = {"put_in_place", "put_link_in_place"}
SHARE = 4
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
    from collections import Counter

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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_command_killed_and_typed_again(crash_test, tmp_path):
    crash_test.write_archive(tmp_path / "small.zip")
    report = crash_test.Report()
    faults = [
        crash_test.Fault("run", "after the rename to *-*.duckdb", "kill", 2),
        crash_test.Fault("run", share=0.7),
    ]
    crash_test.typed(tmp_path, lambda _: faults, report)
    assert (report.faults, report.lines) == (2, [])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_runs_at_once_on_one_home(crash_test, lasting, tmp_path):
    """Four ask for the same and four for other models: all end well, or say who is at it.

    Every second one has a temporary server of its own, in one home of Prefect's.
    """
    from crash_content import content_of, difference

    archive = crash_test.write_archive(tmp_path / "small.zip")
    asked = [("sasrec",)] * 4 + [("tisasrec",), ("sas_fpt",), ("sse_pt",), ("sas_fpt", "sasrec")]
    home, alone = tmp_path / "home", tmp_path / "alone"
    servers = [{}, lasting] * 4
    running = [
        typed(tmp_path, archive, home, *models, **told)
        for models, told in zip(asked, servers, strict=True)
    ]
    ends = [(process.communicate(timeout=1500)[0], process.returncode) for process in running]
    wrong = [said for said, code in ends if code and "is in use by" not in " ".join(said.split())]
    assert not wrong, "\n\n".join(f"{code}: {said}" for said, code in ends)
    assert not [said for said, _ in ends if "Traceback" in said]
    assert any(code == 0 for _, code in ends)
    everything = ("sasrec", "tisasrec", "sas_fpt", "sse_pt")
    for place in (home, alone):  # these two report to a server that is there
        process = typed(tmp_path, archive, place, *everything, **lasting)
        said = process.communicate(timeout=600)[0]
        assert process.returncode == 0, said
    found = difference(content_of(alone), content_of(home))
    lost = [one for one in found.lost if not one.startswith("audit")]  # of the trainings together
    assert (lost, found.double, found.garbage) == ([], [], [])


def typed(
    folder: Path, archive: Path, home: Path, *models: str, **told: str
) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "COLUMNS": "200"}
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = str(WAIT)
    options = ["--dataset", "ml-1m", "--source", str(archive), "--retention", "cold-start"]
    options += [word for model in models for word in ("--model", model)]
    return subprocess.Popen(
        [Path(sys.executable).parent / "fpt", "run", *options, "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment | told,
    )
