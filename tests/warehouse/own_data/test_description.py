"""The description of a file of one's own: taken as it is written, or refused by file and key."""

import re
from pathlib import Path

import pytest

from warehouse.datasets import NAMES
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.own_data.description import (
    _KEYS,
    Description,
    Form,
    Items,
    Rating,
    checked_name,
    find_description,
    parse_description,
    read_description,
)

LEAST = 'user = "u"\nitem = "i"\ntime = "t"\n'


def test_the_least_that_must_be_said(tmp_path):
    (tmp_path / "mine.toml").write_text(LEAST)
    assert read_description(tmp_path / "mine.toml") == Description("mine", "u", "i", "t")


def test_all_that_can_be_said(tmp_path):
    text = f"""{LEAST}
        time_format = "%d.%m.%Y"
        zone = "Europe/Berlin"
        repeats = "last"
        table = "log.events"
        separator = "\\t"
        header = false
        [rating]
        column = "stars"
        low = 1
        high = 5
        step = 0.5
        decimal = ","
        [items]
        file = "films/all.csv"
        item = "id"
        title = "name"
        categories = "genres"
        category_separator = ";"
        separator = ","
        """
    assert parse_description("mine", text, tmp_path / "mine.toml") == Description(
        name="mine",
        user="u",
        item="i",
        time="t",
        time_format="%d.%m.%Y",
        zone="Europe/Berlin",
        rating=Rating("stars", 1.0, 5.0, 0.5, ","),
        repeats="last",
        form=Form("log.events", "\t", header=False),
        items=Items(
            file=tmp_path / "films/all.csv",
            item="id",
            title="name",
            categories="genres",
            category_separator=";",
            form=Form(separator=","),
        ),
    )


RATING = f'{LEAST}[rating]\ncolumn = "r"\nlow = 1\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user = ", "is no TOML: got Invalid value (at end of document)"),
        ('user = "u"\ntime = "t"', "`item` is missing: expected the column of items' ids"),
        (
            LEAST.replace("user", "usr"),
            "`usr` is not known. Did you mean `user`? docs/own-data-format.md has",
        ),
        (f"{LEAST}wombat = 1", "`wombat` is not known: expected user, item, time"),
        *(
            (f'{LEAST}{key} = "x"', f"`{key}` is not known. Did you mean `{meant}`?")
            for key, meant in {
                **dict.fromkeys(("time_zone", "timezone", "tz", "time-zone"), "zone"),
                **{"format": "time_format", "unit": "time_unit"},
            }.items()
        ),
        (
            f'{LEAST}tz = "x"\nwombat = 1\n[rating]\ncolum = "r"\n[items]\nformat = "x"',
            "`tz`, `wombat`, `rating.colum`, `items.format` are not known: "
            "expected user, item, time, time_unit, time_format, zone, repeats, rating, items, "
            "table, separator, header, file, title, categories, category_separator. "
            "Did you mean `zone` for `tz`, `column` for `rating.colum`? docs",
        ),
        (LEAST.replace('"u"', "7"), "`user` is of the wrong type: got 7, expected text in quotes"),
        (f"{LEAST}header = 1", "`header` is of the wrong type: got 1, expected true or false"),
        (f"{LEAST}rating = 5", "`rating` is of the wrong type: got 5, expected a table"),
        (LEAST.replace('"u"', '" "'), "`user` is empty"),
        (LEAST.replace('"u"', '"i"'), "`user` and `item` are the same column: got 'i'"),
        (f'{LEAST}time_unit = "ms"', 'did you mean "milliseconds"'),
        (f'{LEAST}time_unit = "fortnights"', "got 'fortnights', expected days, seconds, milli"),
        (f'{LEAST}time_format = "iso"', 'did you mean "ISO 8601"'),
        (f'{LEAST}time_format = "dd.mm.yyyy"', "or a pattern such as"),
        (f'{LEAST}time_unit = "seconds"\ntime_format = "%Y"', "can't be beside `time_unit`"),
        (f'{LEAST}repeats = "frist"', 'expected first, last, all; did you mean "first"'),
        (f'{LEAST}separator = ""', "`separator` can't be so: got ''"),
        (f'{LEAST}separator = "-----"', "expected 1 to 4 bytes"),
        (RATING, "`rating.high` is missing: expected the greatest rating"),
        (f"{RATING}high = true", "`rating.high` is of the wrong type: got True, expected a number"),
        (f"{RATING}high = inf", "`rating.high` is no number: got inf"),
        (f"{RATING}high = 1", "`rating.high` is not above `low`: got 1 to 1"),
        (f"{RATING}high = 5\nstep = 0.3", "`rating.step` doesn't lead from `low` to `high`"),
        (f"{RATING}high = 5\nstep = 0", "`rating.step` doesn't lead"),
        (f'{RATING}high = 5\ndecimal = ";"', "`rating.decimal` can't be so: got ';', expected '.'"),
        (f"{RATING}high = 5\nsteps = 1", "`rating.steps` is not known. Did you mean `step`?"),
        (RATING.replace('"r"', '"t"') + "high = 5", "`time` and `rating` are the same column"),
        (f'{LEAST}[items]\nfile = "x.csv"', "`items.item` is missing"),
    ],
)
def test_what_cannot_be_so_is_refused_by_file_and_key(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RefusedError) as caught:
        read_description(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [*NAMES, "ML-1M", "", "a b", "../x", "-x", "x" * 65, "ä", "a/b"])
def test_no_data_set_is_called_so(name):
    with pytest.raises(RefusedError):
        checked_name(name)


def test_the_name_of_a_known_data_set_is_refused_by_its_file(tmp_path):
    (tmp_path / "ml-1m.toml").write_text(LEAST)
    with pytest.raises(RefusedError, match="ml-1m is the name of a data set that is known already"):
        read_description(tmp_path / "ml-1m.toml")


def test_bytes_that_are_no_description_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"user = '\xff'")
    with pytest.raises(RefusedError, match="no text in UTF-8"):
        read_description(path)
    path.write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(RefusedError, match="1,048,577 bytes"):
        read_description(path)
    with pytest.raises(RefusedError, match="No such file"):
        read_description(tmp_path / "other.toml")


def test_a_description_is_looked_for_beside_its_source_and_in_the_home(tmp_path):
    home, source = Home(tmp_path / "home"), tmp_path / "events.parquet"
    beside, kept = tmp_path / "mine.toml", tmp_path / "home" / "datasets" / "mine.toml"
    assert find_description("mine", source, home) is None
    kept.parent.mkdir(parents=True)
    kept.write_text(LEAST)
    assert find_description("mine", source, home) == kept
    beside.write_text(LEAST)
    assert find_description("mine", source, home) == beside  # the same: either counts
    assert find_description("mine", None, home) == kept
    beside.write_text(LEAST.replace('"u"', '"v"'))
    with pytest.raises(RefusedError, match=r"described twice.*Remove the one that is out of date"):
        find_description("mine", source, home)


PAGE = (Path(__file__).parents[3] / "docs" / "own-data-format.md").read_text(encoding="utf-8")


def test_the_page_has_every_key_and_no_other():
    table = PAGE.partition("## Keys")[2].partition("## Files")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("|")]
    named = {key for cell in rows for key in re.findall(r"`([\w.]+)`", cell)}
    known = {f"{name}.{key}" if name else key for name, keys in _KEYS.items() for key in keys}
    assert named == known - {"rating", "items"}


def test_the_page_s_example_can_be_read(tmp_path):
    example = PAGE.partition("```toml\n")[2].partition("```")[0]
    described = parse_description("mine", example, tmp_path / "mine.toml")
    assert described.rating == Rating("stars", 1, 5, 1)
    assert described.items is not None
    assert described.items.file == tmp_path / "products.csv"
