"""What a worker of a pool does for a publisher on another machine: one group of trainings."""

from prefect import flow
from prefect.runtime import flow_run

from flows.parameters import Device, Gpus
from tasks import orders, training
from tasks.flow_runs import with_run_lifecycle
from tasks.progress import LogReporter, note, use, warn
from tasks.trainings import is_ranked
from warehouse.errors import StepError
from warehouse.home import Home
from warehouse.shared_store import open_store
from warehouse.visible import counted

# A thousand groups that each told their progress every ten seconds would fill a server.
TELL_SECONDS = 60.0


@flow(name="train-group")
@with_run_lifecycle
def train_group(
    store: str,
    order: str,
    device: Device = "auto",
    gpus: Gpus | None = None,
    together: bool = False,
    pulse: float = 10.0,
    home: str | None = None,
) -> None:
    """Train and rank what an order in a store asks for, and put what comes of it there.

    Nothing is published here: this home is a cache, and where a stopped training goes on.

    Args:
        store: URL of the store.
        order: name of the order in it.
        device: where to train.
        gpus: how many GPUs to use; all without it.
        together: whether all of them train one training after the other.
        pulse: seconds between two signs of life.
        home: of this worker; FPT_HOME without it.

    Raises:
        RefusedError: the order is for other versions; the store refuses us.
        StepError: some of them failed.
    """
    place, shared = Home.at(home), open_store(store, warn)
    asked = orders.read_order(shared, order, place)
    missing = [one for one in asked if orders.result_of(shared, one.run_id) is None]
    if len(missing) < len(asked):
        note(f"{counted(len(asked) - len(missing), 'training')}: in the store already")
    if not missing:
        return
    failures = {}
    with orders.handing_back(shared, place, missing, str(flow_run.id), pulse):
        unranked = [one for one in missing if not is_ranked(place, one)]
        if unranked:
            use(LogReporter(TELL_SECONDS))
            every = TELL_SECONDS * len(unranked)  # however many train side by side
            failures = training.train(
                place, unranked, device, gpus, together=together, show_every=every
            )
    if failures:
        names = {one.run_id: one.name for one in missing}
        raise StepError(
            f"{len(failures)} of {counted(len(missing), 'training')} failed",
            got="; ".join(f"{names[run_id]}: {cause}" for run_id, cause in failures.items()),
        )
