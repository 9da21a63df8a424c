"""Which tables keep figures, and which code makes them; see `run_figures`, which imports Arrow."""

from pathlib import Path

from warehouse.database import SQL

KEPT = ("run_metrics", "run_slices", "run_pairs", "run_lists", "popularity_metrics")


def figure_files() -> list[Path]:
    """The files that define figures: when they change, all are computed again."""
    here = Path(__file__)
    files = [here.with_name(name) for name in ("figures.py", "popularity.py")]
    return [*files, *(SQL / "figures").glob("*.sql")]
