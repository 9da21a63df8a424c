"""Any scores, and any damage to a file of them: right ranks or a refusal, never anything else."""

import math
import random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse.errors import RefusedError
from warehouse.identity import sha256_of
from warehouse.importing.ranking import Asked, rank_file
from warehouse.staging import staging_folder
from warehouse.store import staged_file

ODD = (0.0, -0.0, 5e-324, -1e308, 1e308, 1.0, 1 + 2**-52, -1.0)
SHARED = [HealthCheck.function_scoped_fixture]  # the world is read alone


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=SHARED)
@given(seed=st.integers(0, 10**6), values=st.lists(st.sampled_from(ODD), min_size=1, max_size=8))
def test_ranks_of_any_scores_are_those_of_counting(world, rank, seed, values):
    """Zeros of both signs are equal, neighbours in 64 bits are not."""
    drawn = random.Random(seed)
    scores = [values[drawn.randrange(len(values))] for _ in world.users for _ in world.items]
    pairs = [(user, item) for user in world.users for item in world.items]
    frame = pl.DataFrame(pairs, ("user", "item"), orient="row").with_columns(
        score=pl.Series(scores, dtype=pl.Float64)
    )
    _, found = rank(frame.sample(fraction=1.0, shuffle=True, seed=seed))
    for user in drawn.sample(world.users, 8):
        for protocol in ("full", "uniform_100"):
            expected = world.rank(frame, protocol, "test", user)
            assert found["test", protocol, user][0] == expected


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=SHARED)
@given(length=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_a_list_says_what_all_scores_say_as_far_as_it_is_known(world, rank, length, seed):
    frame = world.scores(seed, ties=10**6)
    made, found = rank(world.lists(frame, length), kind="top")
    for (_, _, user), (place, _) in found.items():
        real = world.rank(frame, "full", "test", user)
        assert place == (real if real <= length else math.inf)
    assert made.known_to == (length if any(math.isinf(p) for p, _ in found.values()) else None)


@pytest.mark.slow
def test_damaged_files_are_refused_or_ranked_as_they_were(world, tmp_path):
    """A flipped bit may be a wrong score that nobody sees; it is never a traceback."""
    good = tmp_path / "good.parquet"
    world.scores().write_parquet(good)
    data, drawn = good.read_bytes(), random.Random(11)
    refused = 0
    for number in range(60):
        changed = bytearray(data)
        if number % 3 == 0:
            changed = changed[: drawn.randrange(len(changed))]
        else:  # mostly where the columns are described
            place = drawn.randrange(len(changed) - 600 if number % 3 == 1 else 0, len(changed))
            changed[place] ^= 1 << drawn.randrange(8)
        path = tmp_path / "changed.parquet"
        path.write_bytes(bytes(changed))
        asked = Asked(path, "theirs")
        with staging_folder(world.home, "import") as folder:
            try:
                made = rank_file(world.home, world.snapshot, asked, sha256_of(path), folder)
            except RefusedError:
                refused += 1
                continue
            ranks = pl.read_parquet(staged_file(folder, "mart.user_ranks", made.run_id))
            assert ranks.height == 2 * len(world.users)
            assert ranks.filter((pl.col("rank") < 1) | pl.col("rank").is_nan()).is_empty()
    assert refused >= 20  # all that were cut, at least
