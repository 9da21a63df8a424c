"""What a trained model recommends enters the warehouse."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from tasks.answering import answer
from warehouse import recommending
from warehouse.home import Home
from warehouse.raw_ids import User
from warehouse.recommending import ServingRun


@dataclass(frozen=True)
class Recommendations:
    """What was published: by which training, for how many users, how many rows."""

    run_id: str
    users: int
    rows: int


@task(task_run_name="recommend {top} by {of.name}")
def recommend(
    home: Home,
    of: ServingRun,
    users: Sequence[User] | None,
    top: int,
    device: str = "auto",
    output: Path | None = None,
) -> Recommendations:
    """Score, check, publish, and write a Parquet file too if `output` says where.

    Args:
        users: numbers of the archive, or ids in own data; None for all.
    """
    asked = recommending.request(home, of, users)
    rows = answer(home, of, asked, ["recommend", "--top", str(top)], device)
    recommending.publish_recommendations(home, of, rows)
    if output is not None:
        rows.write_parquet(output)
    return Recommendations(of.run_id, users=rows["raw_user_id"].n_unique(), rows=rows.height)
