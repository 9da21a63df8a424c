"""What people may like next, published."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.files import refuse_unwritable
from flows.parameters import Device
from fpt_model.version import code_version
from tasks import publishing, recommending
from tasks.flow_runs import with_run_lifecycle
from tasks.recommending import Recommendations
from warehouse.home import Home
from warehouse.recommending import serving_run
from warehouse.records import Choice

Top = Annotated[int, Field(ge=1, le=1000)]


@flow(flow_run_name="recommend {top}")
@with_run_lifecycle
def recommend(
    users: Sequence[int | str] | None = None,
    run_id: str = "",
    top: Top = 10,
    output: Path | None = None,
    device: Device = "auto",
    home: Path | None = None,
    dataset: str = "",
    retention: str = "",
    model: str = "",
) -> Recommendations:
    """The best `top` items for users into `mart.recommendations`.

    Args:
        users: numbers of the archive, or ids in own data; None for all.
        run_id: the training to ask, or how it begins; else the best on validation of the newest
            snapshot of a data set.
        top: items a user.
        output: Parquet file to write besides.
        device: `auto` takes a GPU where there is one.
        home: folder of the pipeline.
        dataset, retention, model: which trainings may be asked; see `warehouse/choosing.py`.
    """
    refuse_unwritable(output)
    place = Home.at(home)
    of = serving_run(place, Choice(dataset, retention, model, run_id), code_version())
    done = recommending.recommend(place, of, users, top, device, output)
    publishing.replace_readers_copy(place)
    return done
