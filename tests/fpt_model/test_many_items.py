"""A million items: trained on, ranked and recommended within the memory of a small machine."""

import json
import random
from pathlib import Path

import pytest

from fpt_model.evaluation.ranks import users_at_once
from fpt_model.files.written import read_written

pytestmark = pytest.mark.slow
N_ITEMS = 1_000_000
N_USERS = users_at_once(N_ITEMS) + 6
SCORES = users_at_once(N_ITEMS) * N_ITEMS * 4  # bytes of the users that are scored at a time
MOST = 5.5  # times those scores, beside what is loaded: a rank makes 4.6 times of them
RUN = """
import resource, sys
from fpt_model.__main__ import main

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
code = main(sys.argv[1:])
print(peak() - before, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def used(loaded, tmp_path):
    """What a command takes at its peak beside what is loaded before, in times of the scores."""
    (script := tmp_path / "script.py").write_text(RUN)

    def run(*words: object) -> float:
        words = *map(str, words), "--device", "cpu", "--threads", "1"
        process = loaded.start(*words, script=script)
        _, said = process.communicate()
        assert process.returncode == 0, said
        return float(said.split()[-1]) / SCORES

    return run


@pytest.fixture
def path(user, write_sequences) -> Path:
    """Users, more than are scored at a time, who walk forward through the items."""
    chance, rows = random.Random(3), []
    for _ in range(N_USERS):
        first = chance.randrange(1, N_ITEMS - 20)
        drawn = {
            f"{split}_candidates": chance.sample(range(1, N_ITEMS), 100)
            for split in ("valid", "test")
        }
        rows.append(user(list(range(first, first + 8)), **drawn))
    return write_sequences(rows, N_ITEMS)


def test_a_million_items_need_no_large_machine(path, tmp_path, used):
    settings = {"loss": "sampled_softmax", "negatives": 64, "item_width": 8, "max_length": 8}
    settings |= {"epochs": 2, "validate_every": 1, "batch_size": 64}
    sets = [f"--set={name}={value}" for name, value in settings.items()]
    words = ["--sequences", path, "--output", tmp_path / "run", "--model", "sasrec"]
    assert used("train", *words, "--preset", "paper", *sets) < MOST

    assert used("evaluate", "--sequences", path, "--run", tmp_path / "run") < MOST
    ranks, _ = read_written(tmp_path / "run" / "ranks.parquet", made_by="it")
    assert len(ranks) == N_USERS * 2 * 2
    assert max(ranks["n_candidates"].to_pylist()) == N_ITEMS - 7  # all but the history

    asked, top = tmp_path / "asked.json", tmp_path / "top.parquet"
    asked.write_text(json.dumps([{"user_id": 1 + n} for n in range(N_USERS)]))
    words = ["--sequences", path, "--run", tmp_path / "run", "--asked", asked, "--output", top]
    assert used("recommend", *words) < MOST
    assert len(read_written(top, made_by="it")[0]) == N_USERS * 10
