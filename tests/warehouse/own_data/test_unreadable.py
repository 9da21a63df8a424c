"""Files without rows, and those whose lines are no rows: said so, with what to do."""

import pytest

from warehouse.errors import RefusedError
from warehouse.own_data.description import Items
from warehouse.own_data.proposing import describe
from warehouse.own_data.reading import read_events, read_items

T = 1_700_000_000
LATIN = ["user,item,time", f"Jörg,Größe 1,{T}", f"Ann,Schuh,{T}", f"Käthe,Schlüssel,{T}"]


def latin(tmp_path, lines=LATIN):
    path = tmp_path / "latin.csv"
    path.write_bytes("\r\n".join([*lines, ""]).encode("latin-1"))
    return path


def test_a_text_in_latin_1_is_refused_with_what_to_do(tmp_path, described, connection):
    said = described(user="user", item="item", time="time")
    with pytest.raises(RefusedError) as caught:
        read_events(connection, said, latin(tmp_path))
    assert str(caught.value).startswith(
        f"Most lines of {tmp_path / 'latin.csv'} can't be read as rows: got no text in UTF-8 in "
        "2 of 3 rows, first in row 1: J"
    )
    assert str(caught.value).endswith("Save it as UTF-8, such as by `iconv -f latin1 -t utf8`.")
    with pytest.raises(RefusedError, match="Save it as UTF-8"):
        read_items(connection, Items(latin(tmp_path), "item"))


def test_a_few_lines_in_latin_1_are_rejected_alone(tmp_path, described, connection):
    path = latin(tmp_path, [*LATIN, f"Bob,Schuh,{T}"])
    read_events(connection, described(user="user", item="item", time="time"), path)
    rows = connection.execute("SELECT reason FROM own_events ORDER BY source_row").fetchall()
    assert rows == [("no text in UTF-8",), (None,), ("no text in UTF-8",), (None,)]


def test_the_commonest_reason_is_named_with_its_first_row(text, described, connection):
    path = text("u,i,t", f"1,2,{T}", "1,2", "1,2,3,4", "5,6,7,8")
    expected = "too many fields in 2 of 4 rows, first in row 3: 1,2,3,4. Mend the file"
    with pytest.raises(RefusedError, match=expected):
        read_events(connection, described(), path)


@pytest.mark.parametrize("lines", [LATIN, [LATIN[0], LATIN[1], LATIN[3]]])
def test_describing_latin_1_says_how_many_lines_and_why(tmp_path, lines):
    seen = describe(latin(tmp_path, lines))
    assert (seen.facts["rows"], seen.facts["lines_not_read"]) == (len(lines) - 3, 2)
    assert seen.refused == [{"rows": 2, "refused_as": "no text in UTF-8"}]
    assert seen.notes[0] == (
        "no text in UTF-8: save it as UTF-8, such as by `iconv -f latin1 -t utf8`"
    )
    assert seen.unclear == []
    assert "rows_taken" not in seen.facts


def test_a_header_alone_has_no_rows(text, parquet, described, connection):
    for path in (
        text("u,i,t", name="zero.csv"),
        parquet("SELECT 1 AS u, 1 AS i, 1 AS t LIMIT 0", "zero.parquet"),
    ):
        with pytest.raises(RefusedError, match=rf"{path.name} has no rows\."):
            read_events(connection, described(), path)
        seen = describe(path)
        assert seen.facts["rows"] == 0
        assert (seen.notes[0], seen.unclear) == ("it has no rows", [])
