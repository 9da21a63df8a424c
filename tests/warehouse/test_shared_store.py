"""The store that machines share: names of content, waiting, refusals; a folder, and a real S3."""

import hashlib
import importlib.util
import threading
from pathlib import Path

import boto3
import pytest

from tasks.at_once import at_once
from warehouse import shared_store
from warehouse.errors import RefusedError, StepError
from warehouse.shared_store import MissingObjectError, open_store

SERVER = Path(__file__).parents[1] / "store_server.py"
spec = importlib.util.spec_from_file_location("store_server", SERVER)
store_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store_server)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path, said):
    return open_store(str(tmp_path / "store"), said.append)


@pytest.fixture(scope="module")
def server():
    with store_server.serving() as running:
        yield running


@pytest.fixture
def store_as(server, monkeypatch, said):
    """The store on the server, as that user has it."""

    def opened(user: str, bucket: str = store_server.BUCKET):
        for name, value in server.environment(user).items():
            monkeypatch.setenv(name, value)
        return open_store(f"s3://{bucket}/some/where", said.append)

    monkeypatch.setattr(shared_store, "PAUSE_SECONDS", 0.1)
    yield opened
    server.door.open()


def test_an_object_is_called_by_its_content(folder, tmp_path):
    name = folder.put(b"abc")
    assert name == hashlib.sha256(b"abc").hexdigest()
    assert (tmp_path / "store/objects" / name).read_bytes() == b"abc"
    assert folder.put(b"abc") == name
    assert folder.get(name) == b"abc"
    (tmp_path / "file").write_bytes(b"abc")
    assert folder.put_file(tmp_path / "file") == name


def test_a_damaged_object_is_refused_and_leaves_nothing(folder, tmp_path):
    name = folder.put(b"abc")
    (tmp_path / "store/objects" / name).write_bytes(b"abd")
    with pytest.raises(RefusedError, match=f"damaged.*{name}.*Delete it"):
        folder.get_file(name, tmp_path / "here")
    with pytest.raises(RefusedError, match="damaged"):
        folder.get(name)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_was_deleted_is_missing_and_can_be_put_again(folder, tmp_path):
    name = folder.put(b"abc")
    (tmp_path / "store/objects" / name).unlink()
    assert not folder.has(name, 3)
    with pytest.raises(MissingObjectError, match="no such object"):
        folder.get(name)
    folder.put(b"abc")
    assert folder.has(name, 3)
    assert not folder.has(name, 4)


def test_marks_are_listed_by_name(folder):
    assert folder.marked("trainings/a") == []
    for name in ("c", "b"):
        folder.mark("trainings/a", name)
    folder.mark("trainings/ab", "d")
    assert folder.marked("trainings/a") == ["b", "c"]


def test_places_that_have_anything_are_listed_at_once(folder, store_as):
    for store in (folder, store_as("writer")):
        assert store.folders("made") == set()
        store.mark("made/a", "x")
        store.mark("made/a", "y")
        store.mark("made/b", "x")
        assert store.folders("made") == {"a", "b"}


def test_a_pulse_changes_what_is_listed(folder):
    folder.pulse("pulses/one")
    first = folder.pulses("pulses")
    folder.pulse("pulses/one")
    assert first.keys() == folder.pulses("pulses").keys() == {"one"}
    assert first != folder.pulses("pulses")
    folder.forget("pulses/one")
    folder.forget("pulses/one")
    assert folder.pulses("pulses") == {}


@pytest.mark.parametrize("url", ["ftp://x/y", "store", "http://x/y", "s3:/x", ""])
def test_another_kind_of_store_is_refused(url, said):
    with pytest.raises(RefusedError, match="No such kind of store"):
        open_store(url, said.append)


def test_no_key_stands_in_a_url(said):
    with pytest.raises(RefusedError, match="holds a password or key"):
        open_store("s3://key:secret@bucket/folder", said.append)


def test_a_server_keeps_objects_too(store_as, said, tmp_path):
    store = store_as("writer")
    store.refuse_unusable()
    content = b"0123456789" * 900_000  # sent in several parts
    (tmp_path / "large").write_bytes(content)
    name = store.put_file(tmp_path / "large")
    store.get_file(name, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == content
    store.mark("trainings/a", name)
    assert store.marked("trainings/a") == [name]
    assert said == []


@pytest.mark.parametrize("user", ["reader", "stranger"])
def test_who_may_not_write_is_told_at_once(store_as, said, user):
    with pytest.raises(RefusedError, match=r"The store refuses this machine.*403") as caught:
        store_as(user).refuse_unusable()
    assert "\n" not in str(caught.value)
    assert said == []


def test_listing_with_wrong_credentials_is_a_refusal_too(store_as):
    """The library has another error for it than for reading."""
    with pytest.raises(RefusedError, match=r"The store refuses this machine.*403"):
        store_as("stranger").marked("trainings/a")


@pytest.fixture
def written_by_another(server):
    """Puts an object by the vendor's own library, which takes any name; it goes at the end."""
    user = server.environment("writer")
    s3 = boto3.client(
        "s3",
        endpoint_url=user["AWS_ENDPOINT"],
        region_name=user["AWS_REGION"],
        aws_access_key_id=user["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=user["AWS_SECRET_ACCESS_KEY"],
    )
    names = []

    def write(name: str) -> None:
        names.append(name)
        s3.put_object(Bucket=store_server.BUCKET, Key=f"some/where/{name}", Body=b"")

    yield write
    for name in names:
        s3.delete_object(Bucket=store_server.BUCKET, Key=f"some/where/{name}")


def test_a_name_that_hides_all_others_is_a_refusal(store_as, written_by_another):
    """The library lists nothing below a place where another program wrote two slashes."""
    store = store_as("writer")
    store.mark("trainings/odd", "a")
    written_by_another("trainings/odd//b")
    with pytest.raises(RefusedError, match=r"A name in the store can't be read.*odd//b"):
        store.marked("trainings/odd")
    assert store.get(store.put(b"abc")) == b"abc"


def test_a_folder_made_in_a_console_is_no_result(store_as, written_by_another):
    store = store_as("writer")
    written_by_another("trainings/made/")
    assert store.marked("trainings/made") == []
    store.mark("trainings/made", "a")
    assert store.marked("trainings/made") == ["a"]


def test_no_such_bucket_is_said_at_once(store_as):
    with pytest.raises(RefusedError, match=r"no such bucket: got s3://elsewhere/.*Make it"):
        store_as("writer", "elsewhere").refuse_unusable()


def test_a_store_that_is_away_is_waited_for(store_as, server, said):
    store = store_as("writer")
    server.door.shut()
    threading.Timer(1.5, server.door.open).start()
    name = store.put(b"while it was away")
    assert store.get(name) == b"while it was away"
    assert len(said) == 1
    assert "does not answer; waiting" in said[0]


def test_many_that_wait_say_it_once_and_again_the_next_time(store_as, server, said):
    store = store_as("writer")
    for _ in range(2):
        server.door.shut()
        threading.Timer(1.0, server.door.open).start()
        at_once(lambda n: store.put(b"%d" % n), range(8), 8)
    assert len(said) == 2


def test_it_is_not_waited_for_without_end(store_as, server, monkeypatch):
    store = store_as("writer")
    server.door.shut()
    monkeypatch.setenv("FPT_STORE_WAIT_SECONDS", "0.2")
    with pytest.raises(StepError, match=r"did not answer for 0 s.*goes on where it was"):
        store.get("a" * 64)
