"""The hash of a table's values: of what it says, and of nothing else."""

import hashlib
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpt_model.files.values import KEY, Digest, stated, stating, values_sha256
from fpt_model.files.written import ModelError, read_written, write_table
from warehouse.written import is_written

# a machine at work is slow to draw, which says nothing of what is drawn
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROOT = Path(__file__).parents[1]
TABLE = pa.table(
    {
        "user_id": pa.array([1, 2, 3], pa.int32()),
        "items": pa.array([[1, 2], [], [3]], pa.list_(pa.int32())),
        "split": pa.array(["valid", "é", "test"], pa.string()),
        "rank": pa.array([1.0, 2.5, 101.0], pa.float32()),
    }
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | st.integers(-(2**31), 2**31 - 1),
            "numbers": st.none() | st.lists(st.integers(-128, 127), max_size=4),
            "text": st.none() | st.text(max_size=3),
            "real": st.floats(width=32, allow_nan=False),
        }
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    [
        ("number", pa.int32()),
        ("numbers", pa.list_(pa.int8())),
        ("text", pa.string()),
        ("real", pa.float32()),
    ]
)


def test_it_is_this_hash_whatever_version_of_whatever_library_computes_it():
    """By hand: for each column its type, its rows, and the hashes of values, lengths and nulls."""

    def sha256(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    def column(kind: str, rows: int, values: bytes, lengths: bytes = b"", inner: str = "") -> str:
        return f"{kind} {rows} {sha256(values)} {sha256(lengths)} {sha256(b'')} [{inner}]"

    items = column("int32", 3, struct.pack("<3i", 1, 2, 3))
    lines = [
        "n_items '9'",
        f"'items' {column('large_list<item: int32>', 3, b'', struct.pack('<3q', 2, 0, 1), items)}",
        f"'rank' {column('float', 3, struct.pack('<3f', 1, 2.5, 101))}",
        "'split' " + column("large_string", 3, "validétest".encode(), struct.pack("<3q", 5, 2, 4)),
        f"'user_id' {column('int32', 3, struct.pack('<3i', 1, 2, 3))}",
    ]
    table = TABLE.replace_schema_metadata({"n_items": "9", "made_by": "anybody"})
    assert values_sha256(table) == sha256("\n".join(lines).encode())
    with_genres = TABLE.replace_schema_metadata({"genres": "any", "n_items": "9"})
    lines.insert(1, "genres 'any'")
    assert values_sha256(with_genres) == sha256("\n".join(lines).encode())


@QUICK
@given(ROWS, st.integers(0, 12), st.integers(0, 12))
def test_where_a_table_is_cut_and_how_it_is_kept_does_not_matter(rows, first, second):
    table = pa.Table.from_pylist(rows, SCHEMA)
    expected = values_sha256(table)
    low, high = sorted((min(first, len(rows)), min(second, len(rows))))
    digest = Digest(SCHEMA)
    for part in (table[:low], table[low:high], table[high:]):
        digest.add(part)
    assert digest.hexdigest() == expected
    other = pa.Table.from_pylist([*rows, *rows], SCHEMA)[len(rows) :]  # its buffers begin elsewhere
    assert values_sha256(other.select(["text", "real", "numbers", "number"])) == expected
    kept_otherwise = table.set_column(2, "text", table["text"].dictionary_encode()).set_column(
        1, "numbers", table["numbers"].cast(pa.large_list(pa.int8()))
    )
    assert values_sha256(kept_otherwise) == expected


@QUICK
@given(ROWS, ROWS)
def test_other_values_have_another_hash(some, others):
    one, other = (pa.Table.from_pylist(rows, SCHEMA) for rows in (some, others))
    same = repr(one.to_pylist()) == repr(other.to_pylist())
    assert (values_sha256(one) == values_sha256(other)) == same


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.rename_columns(["user", "items", "split", "rank"]),
        lambda table: table.set_column(0, "user_id", table["user_id"].cast(pa.int64())),
        lambda table: table.replace_schema_metadata({"n_items": "10"}),
        lambda table: table.replace_schema_metadata({"snapshot_id": "abc"}),
        lambda table: table.slice(0, 2),
        lambda table: table.take([1, 0, 2]),
    ],
)
def test_names_types_facts_and_order_are_part_of_it(change):
    assert values_sha256(change(TABLE)) != values_sha256(TABLE)


def test_a_type_that_no_table_of_ours_has_is_no_silent_hash():
    with pytest.raises(ValueError, match="no hash of date32"):
        values_sha256(pa.table({"day": pa.array([1], pa.date32())}))


@pytest.mark.parametrize(
    "packed",
    [
        {"compression": "none"},
        {"compression": "gzip", "row_group_size": 2},
        {"use_dictionary": False, "data_page_version": "2.0", "version": "1.0"},
    ],
)
def test_other_bytes_of_another_writer_are_the_same_content(packed, tmp_path):
    table = stating(TABLE.replace_schema_metadata({"n_items": "9"}))
    write_table(tmp_path / "a.parquet", table)
    pq.write_table(table, tmp_path / "b.parquet", **packed)
    one, other = (tmp_path / name for name in ("a.parquet", "b.parquet"))
    assert one.read_bytes() != other.read_bytes()
    assert values_sha256(one) == values_sha256(other) == stated(other) == values_sha256(table)
    assert read_written(other)[0].equals(TABLE)


def test_a_flipped_bit_anywhere_is_seen_before_anybody_reads(tmp_path):
    """Every byte in turn. What passes here, as the seal's own name is damaged, is read right."""
    path = tmp_path / "ranks.parquet"
    write_table(path, TABLE)
    whole, passed = path.read_bytes(), 0
    assert is_written(path)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert not is_written(path)  # other readers stumble where PyArrow does not
        try:
            assert read_written(path)[0].equals(TABLE)
            passed += 1
        except ModelError:
            continue
    assert passed <= len("file_sha256..")


def test_a_cut_file_and_one_with_anothers_hash_are_refused(tmp_path):
    path = tmp_path / "ranks.parquet"
    write_table(path, TABLE)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"ranks\.parquet is damaged"):
        read_written(path)
    pq.write_table(TABLE.replace_schema_metadata({KEY: "0" * 64}), path)
    with pytest.raises(ModelError, match=r"values of SHA-256 .*, expected 0000"):
        read_written(path)


def test_a_file_of_an_older_version_is_checked_by_the_checksum_beside_it(tmp_path):
    path = tmp_path / "ranks.parquet"
    pq.write_table(TABLE, path)
    with pytest.raises(ModelError, match=r"No file .*ranks\.parquet\.sha256"):
        read_written(path)
    beside = Path(f"{path}.sha256")
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert read_written(path) == (TABLE, values_sha256(TABLE))
    write_table(path, TABLE)
    assert not beside.exists()  # one truth


@pytest.mark.parametrize("name", ["values.py", "sealing.py", "placing.py"])
def test_what_both_rooms_need_is_the_same_in_both(name):
    ours, theirs = (ROOT / room / name for room in ("fpt_model/files", "warehouse"))
    assert ours.read_bytes() == theirs.read_bytes(), f"cp {ours} {theirs}"
