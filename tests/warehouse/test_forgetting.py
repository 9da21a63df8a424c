"""One person's data goes from everything that is published, and stays away."""

import pytest

from warehouse.catalogue import reading
from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.following import newest
from warehouse.forgetting import forget, forgotten_users
from warehouse.kept_catalogues import catalogues
from warehouse.landing import land, load_id_of
from warehouse.publishing import publish_load
from warehouse.questions import ask
from warehouse.staging import staging_folder

FORGOTTEN = 4


def test_all_that_was_made_from_a_person_goes_with_its_files(home, publish, published_snapshot):
    publish("run", [1.0, 2.0, 30.0, 4.0])
    gone = forget(home, "ml-1m", FORGOTTEN)
    assert (gone.loads, gone.snapshots, gone.runs) == (
        ["load"],
        [published_snapshot.snapshot_id],
        ["run"],
    )
    for table in ("raw.loads", "raw.ratings", "core.snapshots", "core.interactions", "core.users"):
        assert ask(home, f"SELECT count(*) FROM {table}").item() == 0
    for table in ("mart.user_ranks", "mart.training_runs", "mart.run_metrics", "mart.run_pairs"):
        assert ask(home, f"SELECT count(*) FROM {table}").item() == 0
    assert list(home.store.rglob("*.parquet")) == []
    assert list(home.sequences.iterdir()) == []
    assert not home.run("run").exists()
    assert catalogues(home) == [newest(home)]


def test_what_must_be_trained_again_is_a_command(home, publish, published_snapshot):
    publish("a", [1.0, 2.0, 30.0, 4.0], seed=0)
    publish("b", [1.0, 2.0, 30.0, 4.0], seed=2, model="tisasrec")
    (again,) = forget(home, "ml-1m", FORGOTTEN).again
    assert again == (
        "fpt run --dataset ml-1m --retention cold-start --model sas_fpt --model tisasrec "
        f"--preset quick --seeds 3 --home {home.root}"
    )


def test_other_loads_stay(home, publish_rows):
    publish_rows("with", [(FORGOTTEN, item, item) for item in range(1, 6)])
    publish_rows("without", [(9, item, item) for item in range(1, 6)])
    assert forget(home, "ml-1m", FORGOTTEN).loads == ["with"]
    assert ask(home, "SELECT DISTINCT load_id FROM raw.ratings").item() == "without"


def test_the_catalogue_holds_no_byte_of_what_went(home, publish_rows):
    publish_rows("load", [(FORGOTTEN, item, item) for item in range(1, 6)])
    from warehouse.publishing import store_outcomes

    outcome = {
        "table_name": "raw.ratings",
        "expectation": "x",
        "severity": "warning",
        "success": False,
        "observed": None,
        "unexpected_count": 1,
        "sample": [{"said": "a secret of user four " * 20}],
        "reason": "y",
        "name": None,
    }
    store_outcomes(home, [outcome], load_id="load")
    assert b"a secret of user four" in newest(home).read_bytes()
    forget(home, "ml-1m", FORGOTTEN)
    for path in (newest(home), home.published):
        assert b"a secret of user four" not in path.read_bytes()


def test_a_stranger_is_refused_and_nothing_changes(home, published_snapshot):
    before = newest(home)
    with pytest.raises(RefusedError, match="User 99 is in no load of ml-1m"):
        forget(home, "ml-1m", 99)
    assert newest(home) == before


ARCHIVE = {
    "ml-1m/ratings.dat": b"1::7::5::960000000\n2::7::4::960000001\n"
    b"12::7::4::960000001\n2::x::4::1\n",
    "ml-1m/movies.dat": b"7::Seven (1995)::Thriller\n",
    "ml-1m/users.dat": b"1::F::25::4::10115\n2::M::25::4::10115\n2::M::x\n12::M::25::4::10115\n",
}


def test_a_later_load_leaves_the_person_out(home, write_zip):
    source, dataset = write_zip(ARCHIVE), find("ml-1m")
    with staging_folder(home, "load") as folder:
        land(dataset, source, folder)
        publish_load(home, folder)
    whole = load_id_of(dataset, source)
    forget(home, "ml-1m", 2)
    forgotten = forgotten_users(home, "ml-1m")
    assert forgotten == {2}
    assert forgotten_users(home, "ml-100k") == set()
    with staging_folder(home, "load") as folder:
        load = land(dataset, source, folder, forgotten=forgotten)
        publish_load(home, folder)
    assert load.load_id == load_id_of(dataset, source, forgotten) != whole
    assert (load.n_ratings, load.n_users, load.n_rejects, load.n_forgotten) == (2, 2, 0, 1)
    with reading(home) as connection:
        assert connection.execute(
            "SELECT source_row, raw_user_id FROM raw.ratings ORDER BY ALL"
        ).fetchall() == [(1, 1), (3, 12)]
        assert connection.execute("SELECT raw_user_id FROM raw.users ORDER BY ALL").fetchall() == [
            (1,),
            (12,),
        ]
