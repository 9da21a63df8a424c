"""What a server needs is made once, whoever comes first."""

from contextlib import contextmanager
from types import SimpleNamespace

from prefect.exceptions import ObjectAlreadyExists


def test_a_pool_that_its_worker_makes_meanwhile_gets_its_queues(monkeypatch):
    from flows import bootstrap

    made = []

    def create_work_pool(_):
        raise ObjectAlreadyExists(None)

    client = SimpleNamespace(
        read_work_pools=list,  # none yet, when it is asked for
        create_work_pool=create_work_pool,
        read_work_queues=lambda **_: [SimpleNamespace(name="default", id=1)],
        create_work_queue=lambda name, **said: made.append((name, said["concurrency_limit"])),
        update_work_queue=lambda number, **said: made.append((number, said["concurrency_limit"])),
    )

    @contextmanager
    def get_client(**_):
        yield client

    monkeypatch.setattr(bootstrap, "get_client", get_client)
    bootstrap.make_pools(SimpleNamespace(pools={"cpu": {"default": 1, "nightly": 2}}))
    assert made == [(1, 1), ("nightly", 2)]
