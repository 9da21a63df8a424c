"""A lake's address, and which one a home belongs to: all that needs no lake."""

import pytest

from warehouse.catalogue import writing
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.lake.address import Address, choose, parsed, password_of
from warehouse.lake.tables import without_hidden_columns

URL = "ducklake:postgres://me:s%40fe@[::1]:5433/my%20lake?data=/mnt/a%26b&schema=team"


def test_a_url_has_its_parts():
    address, password = parsed(URL)
    assert address == Address("::1", "5433", "me", "my lake", "/mnt/a&b", "team")
    assert password == "s@fe"
    assert parsed(address.url) == (address, None)


def test_a_home_has_copies_of_what_is_in_an_object_store(tmp_path):
    address = parsed("ducklake:postgres://db/lake?data=s3://bucket/lake/")[0]
    assert (address.data, address.is_remote) == ("s3://bucket/lake", True)
    assert parsed(address.url)[0] == address
    assert Home(tmp_path, address).files == tmp_path


def test_a_plus_in_a_path_is_a_plus():
    assert parsed("ducklake:postgres://db/lake?data=/mnt/a+b%23")[0].data == "/mnt/a+b#"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://me:w0rd@db/lake", "does not begin with ducklake:postgres://"),
        ("ducklake:postgres://me:w0rd@db/?data=/mnt", "no database"),
        ("ducklake:postgres://me:w0rd@db/lake", "no data="),
        ("ducklake:postgres://me:w0rd@db/lake?data=mnt", "whole path"),
        ("ducklake:postgres://me:w0rd@db/lake?data=/a?b", "with [?]"),
        ("ducklake:postgres://me:w0rd@db/lake?data=/a#1", "%23"),
        ("ducklake:postgres://me:w0rd@db/lake?data=/", "whole path"),
        ('ducklake:postgres://me:w0rd@db/lake?data=/a&schema=a"b', "no plain name"),
        ("ducklake:postgres://me:w0rd@db/lake?data=gs://bucket/lake", "none of s3://"),
        ("ducklake:postgres://me:w0rd@db/lake?data=s3:///lake", "none of s3://"),
        ("ducklake:postgres://me:w0rd@db/lake?data=s3://key:w0rd@bucket/lake", "AWS_SECRET"),
        ("ducklake:postgres://me:w0rd@db/lake?data=s3://bucket/la*ke", "one of"),
        ("ducklake:postgres://me:w0rd@db:many/lake?data=/mnt", "port"),
        ("ducklake:postgres://me:w0rd@db/lake?data=/mnt&sslmode=require", "unknown sslmode"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url, said):
    with pytest.raises(RefusedError, match=said) as raised:
        parsed(url)
    assert "w0rd" not in str(raised.value)


def test_a_password_is_not_typed(monkeypatch):
    monkeypatch.delenv("FPT_WAREHOUSE", raising=False)
    with pytest.raises(RefusedError, match="holds a password") as raised:
        choose(URL)
    assert "s@fe" not in str(raised.value)
    assert "s%40fe" not in str(raised.value)


def test_a_password_is_of_its_own_lake_alone(monkeypatch):
    monkeypatch.setenv("FPT_WAREHOUSE", URL)
    address = parsed(URL)[0]
    assert password_of(address) == "s@fe"
    assert password_of(parsed(address.url.replace("5433", "5434"))[0]) is None


def test_a_home_without_a_lake_takes_none_later(tmp_path, monkeypatch):
    monkeypatch.setenv("FPT_WAREHOUSE", "files")
    home = Home.at(tmp_path / "home")
    assert home.lake is None
    assert home.files == home.root
    with writing(home):
        pass
    monkeypatch.setenv("FPT_WAREHOUSE", URL)
    with pytest.raises(RefusedError, match="a catalogue of its own"):
        Home.existing(home.root)


def test_views_of_a_lake_name_what_they_read():
    query = "SELECT * FROM mart.epochs\nJOIN mart.metrics AS m USING (run_id)"
    assert without_hidden_columns(query) == (
        "SELECT * FROM (FROM mart.epochs) AS epochs\nJOIN mart.metrics AS m USING (run_id)"
    )
