import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from expectations.facts import Facts

SCHEMA = Path(__file__).parents[2] / "warehouse" / "sql" / "schema"


@pytest.fixture(scope="session")
def facts() -> Facts:
    return Facts(
        load_id="load",
        snapshot_id="snapshot",
        run_ids=("run",),
        n_ratings=420,
        n_users=60,
        n_items=40,
        timestamp_max=1_700_000_000,
        n_interactions=420,
        n_kept_users=60,
        n_kept_items=40,
    )


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small warehouse in which everything holds."""
    path = tmp_path_factory.mktemp("good") / "good.duckdb"
    with duckdb.connect(str(path)) as connection:
        for name in ("raw", "core", "mart"):
            connection.execute((SCHEMA / f"{name}.sql").read_text(encoding="utf-8"))
        world = Path(__file__).with_name("good_world.sql")
        connection.execute(world.read_text(encoding="utf-8"))
    return path


@pytest.fixture
def changed(good: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the good warehouse after some SQL."""

    def change(sql: str, parameters: list[object] | None = None) -> Path:
        path = tmp_path / "changed.duckdb"
        shutil.copyfile(good, path)
        with duckdb.connect(str(path)) as connection:
            connection.execute(sql, parameters)
        return path

    return change
