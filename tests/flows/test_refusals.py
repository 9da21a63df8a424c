"""Bad input: a typed refusal, its outcomes kept, and nothing else changed in what is published."""

import random
import zipfile

import duckdb
import pytest

from flows.run import run
from warehouse.errors import RefusedError

OTHER_STEP = "1::1::4.5::960000000"


def truncated(path, lines, write):
    write(path, lines)
    path.write_bytes(path.read_bytes()[:-400])


def of_another_set(path, lines, write):
    write(path, lines, name="ml-10m")


def not_an_archive(path, lines, write):
    path.write_text("\n".join(lines))


def malformed_line(path, lines, write):
    write(path, [*lines, "1::2::3"])


def half_star(path, lines, write):
    write(path, [*lines, OTHER_STEP])


def empty(path, lines, write):
    write(path, [], end="")


def cut_in_the_last_line(path, lines, write):
    write(path, lines, end="")


def in_milliseconds(path, lines, write):
    write(path, [f"{line}000" for line in lines])


def missing(path, lines, write):
    pass


def folder(path, lines, write):
    path.mkdir()


def out_of_its_folder(path, lines, write):
    write(path, lines)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil.dat", "x")


def control_character_in_a_title(path, lines, write):
    write(path, lines)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["ml-1m/movies.dat"] += b"1000::\x1b[31mRed (1999)::Drama\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def too_little(path, lines, write):
    write(path, lines[:4])


@pytest.mark.parametrize(
    "spoil",
    [
        truncated,
        of_another_set,
        not_an_archive,
        malformed_line,
        half_star,
        empty,
        cut_in_the_last_line,
        in_milliseconds,
        missing,
        folder,
        out_of_its_folder,
        control_character_in_a_title,
        too_little,
    ],
)
def test_bad_input_is_refused_and_nothing_published(
    prefect, copy, content, tmp_path, lines, write_archive, spoil
):
    before = content(copy)
    source = tmp_path / "source.zip"
    spoil(source, lines, write_archive)
    with pytest.raises(RefusedError) as caught:
        run(dataset="ml-1m", source=source, models=["sasrec"], home=copy)
    assert len(str(caught.value)) > 30
    after = content(copy)
    changed = {name for name in before if after[name] != before[name]}
    # a load that is good stays, though too little of it is left for a snapshot
    assert changed == ({"raw.loads", "mart.files"} if spoil is too_little else set())


def test_a_failed_audit_is_kept_with_its_offending_rows(
    prefect, copy, tmp_path, lines, write_archive
):
    source = write_archive(tmp_path / "source.zip", [*lines, OTHER_STEP])
    with pytest.raises(RefusedError, match=r"raw\.rejects"):
        run(dataset="ml-1m", source=source, models=["sasrec"], home=copy)
    with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
        failed = connection.execute(
            "SELECT table_name, severity, sample FROM mart.validation_results WHERE NOT success"
        ).fetchall()
    assert [row[:2] for row in failed] == [("raw.rejects", "critical")]
    assert OTHER_STEP in failed[0][2]


def test_rejects_that_are_allowed_are_quarantined(prefect, copy, tmp_path, lines, write_archive):
    source = write_archive(tmp_path / "source.zip", [*lines, OTHER_STEP])
    run(
        dataset="ml-1m",
        source=source,
        retention="cold-start",
        models=["sasrec"],
        max_rejects=1,
        home=copy,
    )
    with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
        rejects = connection.execute("SELECT source_row, line FROM raw.rejects").fetchall()
        assert rejects == [(len(lines) + 1, OTHER_STEP)]
        counts = connection.execute("SELECT n_ratings FROM raw.loads ORDER BY loaded_at").fetchall()
        assert counts == [(len(lines),), (len(lines),)]


def test_the_order_of_users_in_the_file_changes_nothing(
    prefect, copy, tmp_path, lines, write_archive
):
    """Only the order of equal timestamps within a user counts, and there are none here."""
    shuffled = random.Random(1).sample(lines, len(lines))
    source = write_archive(tmp_path / "shuffled.zip", shuffled)
    run(dataset="ml-1m", source=source, retention="cold-start", models=["sasrec"], home=copy)
    with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
        content = "SELECT bit_xor(hash(user_id, item_id, position, split, week, scaled_interval))"
        rows = connection.execute(f"{content} FROM core.interactions GROUP BY snapshot_id")
        first, second = rows.fetchall()
    assert first == second


def test_a_wrong_parameter_is_named_before_the_run_starts(prefect, tmp_path):
    from prefect.exceptions import ParameterTypeError

    with pytest.raises(ParameterTypeError, match="preset"):
        run(preset="huge", home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
