"""What people may like next, and why the model thinks so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.files import refuse_unwritable
from flows.parameters import Device
from fpt_model.version import code_version
from tasks import publishing, recommending
from tasks.flow_runs import operated
from tasks.recommending import Advice
from warehouse.attended import attended
from warehouse.home import Home
from warehouse.recommending import adviser, history_of, request, sample_user
from warehouse.report.facts import Attention

Row = dict[str, Any]
Top = Annotated[int, Field(ge=1, le=1000)]


@flow(flow_run_name="recommend {top}")
@operated
def recommend(
    users: Sequence[int] | None = (),
    run_id: str = "",
    top: Top = 10,
    output: Path | None = None,
    device: Device = "auto",
    home: Path | None = None,
) -> Advice:
    """The best `top` items for users into `mart.recommendations`.

    Args:
        users: numbers of the archive; None for all, empty for some.
        run_id: the training to ask, or how it begins; of the newest snapshot the best on
            validation, if none.
        top: items a user.
        output: Parquet file to write besides.
        device: `auto` takes a GPU where there is one.
        home: folder of the pipeline.
    """
    refuse_unwritable(output)
    place = Home.at(home)
    done = recommending.recommend(
        place, adviser(place, run_id, code_version()), users, top, device, output
    )
    publishing.replace_readers_copy(place)
    return done


def recommend_after(
    words: Sequence[str], run_id: str, top: int, output: Path | None, home: Path
) -> list[Row]:
    """The best items after a history of items that somebody new gives; nothing is published."""
    place = Home.at(home)
    of = adviser(place, run_id, code_version())
    asked = [history_of(place, of, words)]
    rows = recommending.answer(place, of, asked, ["recommend", "--top", str(top)])
    if output is not None:
        rows.write_parquet(output)
    return rows.select("rank", "title", "genres", movie="raw_item_id", score="score").to_dicts()


def explain(home: Path, user: int | None = None, run_id: str = "") -> Attention:
    """Which of a user's past items the model attends to; without a user, one is chosen."""
    place = Home.at(home)
    of = adviser(place, run_id, code_version())
    number = sample_user(place, of) if user is None else user
    rows = recommending.answer(place, of, request(place, of, [number]), ["explain"])
    return Attention(number, of.name, attended(rows).to_dicts())
