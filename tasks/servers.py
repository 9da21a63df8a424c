"""Runs that were told to a temporary server, which ended with their command."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from warehouse import locks
from warehouse.database import is_held
from warehouse.garbage import SIGNS_OF_LIFE
from warehouse.home import Home

ALONE = SIGNS_OF_LIFE[1]


def died(home: Home) -> list[Path]:
    """Signs of life of runs of temporary servers whose process is gone."""
    signs = sorted(home.locks.glob(f"{ALONE}*.lock"))
    return [path for path in signs if not is_held(home, path.stem)]


def settle(dead: Sequence[Path]) -> None:
    """Mark such runs as crashed, and forget them.

    Runs of a lasting server are seen to by `tasks/dead_runs.py`, which starts them again.
    """
    if dead:
        with get_client(sync_client=True) as client:
            for path in dead:
                _mark(client, UUID(path.stem.removeprefix(ALONE)))
                locks.remove(path)


def _mark(client: SyncPrefectClient, identity: UUID) -> None:
    """Crashed, if this server knows the run and it has not ended."""
    try:
        run = client.read_flow_run(identity)
    except ObjectNotFound:
        return
    if run.state is not None and not run.state.is_final():
        client.set_flow_run_state(identity, Crashed(message="Its process died"), force=True)
