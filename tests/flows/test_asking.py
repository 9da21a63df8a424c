"""`fpt recommend`: whom it is asked for, what is refused at once, and that questions are quick."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.asking import refuse_unasked
from warehouse.choosing import remembered
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.records import Choice

FPT = Path(sys.executable).parent / "fpt"


@pytest.mark.parametrize(
    ("users", "history", "everybody", "publish", "said"),
    [
        ([], None, False, False, "Whom to recommend to is not said"),
        ([], None, False, True, "Whom to recommend to is not said"),
        ([1], None, True, False, "One way .* is enough: got --user and --all"),
        ([1], "5,6", False, False, "got --user and --history"),
        ([], "5,6", False, True, "can't be published"),
        ([1], None, False, False, None),
        ([1], None, False, True, None),
        ([], None, True, False, None),
        ([], "5,6", False, False, None),
    ],
)
def test_whom_it_is_for_is_said_in_one_way(users, history, everybody, publish, said):
    def ask():
        refuse_unasked(users, history, everybody=everybody, publish=publish)

    if said is None:
        ask()
        return
    with pytest.raises(RefusedError, match=said):
        ask()


def test_a_question_waits_for_no_library_that_it_does_not_need():
    code = "import sys, flows.asking, flows.answers; "
    code += "print(sorted({'prefect', 'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_process_that_answers_imports_duckdb_alone():
    """Polars and Arrow would be two thirds of what a question takes."""
    code = "import sys, warehouse.asked, warehouse.published, warehouse.following; "
    code += "print(sorted({'polars', 'pyarrow', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_program_of_the_models_waits_for_no_compiler():
    """`torch.use_deterministic_algorithms` would import it, half the time of a short command."""
    code = (
        "import sys, torch; from fpt_model.deterministic import prepare; prepare(None); "
        "assert torch.are_deterministic_algorithms_enabled(); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.slow
def test_of_several_data_sets_somebody_at_a_terminal_chooses(copy, fpt):
    """The second is the first one's training on another retention, which has no weights."""
    from warehouse.catalogue import writing

    with writing(Home.at(copy)) as connection:
        for table, changes in (
            ("core.snapshots", "'other' AS snapshot_id, '5-core' AS retention"),
            ("mart.training_runs", "'other' || seed || model AS run_id, 'other' AS snapshot_id"),
        ):
            connection.execute(f"INSERT INTO {table} SELECT * REPLACE ({changes}) FROM {table}")
    (copy / "chosen.json").unlink(missing_ok=True)  # another test may have named one
    refused = fpt("explain", "5", home=copy)
    assert refused.code != 0
    assert "Several data sets have trainings" in refused.err
    pid, screen = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", COLUMNS="160", OMP_NUM_THREADS="1")
        os.execv(FPT, ["fpt", "explain", "5", "--home", str(copy)])
    seen = until(screen, "Which data set, 1 to 2")
    place = next(line[0] for line in seen.splitlines() if "cold-start: SAS-FPT, SASRec" in line)
    os.write(screen, b"9\n")
    until(screen, "Which data set, 1 to 2")
    os.write(screen, f"{place}\n".encode())
    until(screen, "Café ")
    os.waitpid(pid, 0)
    data = "ml-1m (unverified: small.zip)"
    assert remembered(Home.at(copy)) == Choice(data, "cold-start")


def until(screen: int, words: str) -> str:
    seen, end = "", time.monotonic() + 90
    while words not in seen and time.monotonic() < end:
        if select.select([screen], [], [], 0.2)[0]:
            seen += os.read(screen, 65536).decode("utf-8", "replace")
    assert words in seen, seen
    return seen
