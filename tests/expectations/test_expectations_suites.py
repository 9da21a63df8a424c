"""Every expectation holds on good data and fails on data broken in exactly its way."""

import importlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import duckdb
import pyarrow.parquet as pq
import pytest

from expectations import suites, suspicions
from expectations.facts import Facts
from expectations.runner import audit
from flows.parameters import Suspicion
from warehouse import figures

AGREE = "histories as in core.interactions"
SAME_LENGTH = "item_ids, timestamps, weeks and ratings of the same length"
HISTORY = ("item_ids", "timestamps", "weeks", "ratings")
TITLE = "UPDATE raw.items SET title = '{}' WHERE raw_item_id = 3"
REJECT = "INSERT INTO raw.rejects VALUES ('load', 'ratings.dat', 7, '1::x', 'not a number')"
LAST = "(SELECT n_interactions FROM core.users AS u WHERE u.user_id = i.user_id)"
# Features again, after timestamps were changed on purpose.
REFRESH = """
; UPDATE core.interactions AS i
SET week = least(52, weekofyear(make_timestamp(i.timestamp * 1000000))),
    scaled_interval = (i.timestamp - before.timestamp) // time_scale
FROM core.interactions AS before, core.users AS u
WHERE before.user_id = i.user_id AND before.position = i.position - 1 AND u.user_id = i.user_id
"""


def drop_first(user: int, rows: int) -> str:
    """Forget a user's first interactions, as if the history began later."""
    return f"""
    DELETE FROM core.interactions WHERE user_id = {user} AND position <= {rows};
    UPDATE core.interactions SET position = position - {rows} WHERE user_id = {user};
    UPDATE core.interactions SET scaled_interval = NULL WHERE user_id = {user} AND position = 1
    """


@dataclass(frozen=True)
class Broken:
    """A way to break an expectation; `also` are those that cannot but fail with it."""

    suite: str
    words: str
    sql: str
    also: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


TOO_GOOD = "not everybody's target among the first 10 and the first tenth, over 50 users or more"
BELOW_CHANCE = (
    "targets that were trained on rank like chance or popularity, or better: 5 standard errors"
)
FEW = "more than k candidates for most users, k = 1, 5, 10, 20"

RAW_RATINGS = [
    Broken("raw_ratings", words, sql)
    for words, sql in {
        "row count = 420": "DELETE FROM raw.ratings WHERE source_row = 5",
        "distinct raw_user_id = 60": "UPDATE raw.ratings SET raw_user_id = 9 WHERE source_row = 5;"
        "INSERT INTO raw.users VALUES ('load', 9, 'F', '1', '1')",
        "distinct raw_item_id = 40": "UPDATE raw.ratings SET raw_item_id = 1 WHERE source_row = 5;"
        "INSERT INTO raw.items VALUES ('load', 1, 'T (1995)', '')",
        "load_id in load": "UPDATE raw.ratings SET load_id = 'other' WHERE source_row = 5",
        "source_row at least 1": "UPDATE raw.ratings SET source_row = 0 WHERE source_row = 5",
        "(source_row) unique": "UPDATE raw.ratings SET source_row = 6 WHERE source_row = 5",
        "raw_user_id at least 1": "UPDATE raw.ratings SET raw_user_id = -1 WHERE raw_user_id = 10;"
        "INSERT INTO raw.users VALUES ('load', -1, 'F', '1', '1')",
        "raw_item_id at least 1": "UPDATE raw.ratings SET raw_item_id = -1 WHERE raw_item_id = 3;"
        "INSERT INTO raw.items VALUES ('load', -1, 'T (1995)', '')",
        "rating between 0.5 and 5.0": "UPDATE raw.ratings SET rating = 5.5 WHERE source_row = 5",
        "rating a multiple of 0.5": "UPDATE raw.ratings SET rating = 4.3 WHERE source_row = 5",
        "timestamp between 788918400 and 1700000000": (
            "UPDATE raw.ratings SET timestamp = timestamp * 1000 WHERE source_row = 5"
        ),
        "(raw_user_id, raw_item_id) unique": "UPDATE raw.ratings SET raw_item_id = ("
        "SELECT raw_item_id FROM raw.ratings WHERE source_row = 6) WHERE source_row = 5",
        "raw_item_id in raw.items": "DELETE FROM raw.items WHERE raw_item_id = 3",
        "raw_user_id in raw.users": "DELETE FROM raw.users WHERE raw_user_id = 10",
    }.items()
]

RAW_ITEMS = [
    Broken("raw_items", words, sql)
    for words, sql in {
        "row count at least 1": "DELETE FROM raw.items",
        "load_id in load": "UPDATE raw.items SET load_id = 'other' WHERE raw_item_id = 3",
        "raw_item_id at least 1": "UPDATE raw.items SET raw_item_id = 0 WHERE raw_item_id = 3",
        "(raw_item_id) unique": "UPDATE raw.items SET raw_item_id = 6 WHERE raw_item_id = 3",
        "title not blank": TITLE.format(" "),
        "title rightly decoded": TITLE.format("Les MisÃ©rables (1995)"),
        "title ends with a year": TITLE.format("Untitled"),
    }.items()
]

RAW_USERS = [
    Broken("raw_users", words, sql)
    for words, sql in {
        "row count at least 1": "DELETE FROM raw.users",
        "load_id in load": "UPDATE raw.users SET load_id = 'other' WHERE raw_user_id = 10",
        "raw_user_id at least 1": "UPDATE raw.users SET raw_user_id = 0 WHERE raw_user_id = 10;"
        "UPDATE raw.ratings SET raw_user_id = 0 WHERE raw_user_id = 10",
        "(raw_user_id) unique": "UPDATE raw.users SET raw_user_id = 20 WHERE raw_user_id = 10",
        "raw_user_id not null": "ALTER TABLE raw.users ALTER raw_user_id DROP NOT NULL;"
        "UPDATE raw.users SET raw_user_id = NULL WHERE raw_user_id = 10",
        "gender in F, M": "UPDATE raw.users SET gender = '25' WHERE raw_user_id = 10",
        "raw_user_id in raw.ratings": "DELETE FROM raw.ratings WHERE raw_user_id = 10",
    }.items()
]

RAW_KEYS = [
    Broken(f"raw_{what}_keys", words.format(what), sql.format(what, number))
    for what, number in (("user", 10), ("item", 3))
    for words, sql in {
        "row count at least 1": "DELETE FROM raw.ratings; DELETE FROM raw.{0}_keys",
        "load_id in load": "UPDATE raw.{0}_keys SET load_id = 'other' WHERE raw_{0}_id = {1}",
        "raw_{0}_id between 1 and 2147483647": "UPDATE raw.{0}_keys SET raw_{0}_id = 0"
        " WHERE raw_{0}_id = {1}; DELETE FROM raw.ratings WHERE raw_{0}_id = {1}",
        "(raw_{0}_id) unique": "INSERT INTO raw.{0}_keys VALUES ('load', {1}, '{0} 0001b')",
        "({0}_key) unique": "INSERT INTO raw.{0}_keys VALUES ('load', 1, '{0} 0001')",
        "raw_{0}_id in the order of {0}_key": "INSERT INTO raw.{0}_keys VALUES ('load', 1, 'x')",
        "raw_{0}_id of raw.ratings known": "DELETE FROM raw.{0}_keys WHERE raw_{0}_id = {1}",
    }.items()
]

REJECTED = {"also": ("no line rejected",), "facts": {"max_rejects": 1}}
RAW_REJECTS = [
    Broken("raw_rejects", "row count at most 0", REJECT),
    Broken("raw_rejects", "no line rejected", REJECT, facts={"max_rejects": 1}),
    Broken("raw_rejects", "load_id in load", REJECT.replace("load", "other"), **REJECTED),
    Broken("raw_rejects", "source_row at least 1", REJECT.replace("7", "0"), **REJECTED),
]

# A row that stands twice also counts twice.
TWICE = {
    "(user_id, position) unique": ("position from 1 without a gap for each user",),
    "(split, user_id) unique": ("candidates distinct",),
}
CORE_INTERACTIONS = [
    Broken("core_interactions", words, sql, TWICE.get(words, ()), facts)
    for words, sql, facts in [
        ("row count = 420", drop_first(3, rows=1), {}),
        (
            "snapshot_id in snapshot",
            "UPDATE core.interactions SET snapshot_id = 'other' WHERE user_id = 1 AND position = 1",
            {},
        ),
        ("user_id in core.users", "DELETE FROM core.users WHERE user_id = 60", {}),
        ("item_id in core.items", "DELETE FROM core.items WHERE item_id = 40", {}),
        (
            "rating between 0.5 and 5.0",
            "UPDATE core.interactions SET rating = 0 WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "rating a multiple of 0.5",
            "UPDATE core.interactions SET rating = 4.3 WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "timestamp between 788918400 and 1700000000",
            "UPDATE core.interactions SET timestamp = 2000000000"
            " WHERE user_id = 1 AND split = 'test'" + REFRESH,
            {},
        ),
        (
            "(user_id, position) unique",
            # Place 3 has the timestamp of place 2, so any order of the two leaves gaps of 0.
            "INSERT INTO core.interactions SELECT snapshot_id, user_id, (SELECT item_ids[1] FROM"
            " core.candidates AS c WHERE c.user_id = 1 LIMIT 1), rating, timestamp, position,"
            " split, 0, week FROM core.interactions WHERE user_id = 1 AND position = 2",
            {"n_interactions": None},
        ),
        (
            "position from 1 without a gap for each user",
            "UPDATE core.interactions SET position = position + 1"
            " WHERE user_id = 1 AND split <> 'train'",
            {},
        ),
        (
            "timestamp ascending with position",
            "UPDATE core.interactions SET timestamp = timestamp - 7200"
            " WHERE user_id = 1 AND split = 'test'" + REFRESH,
            {},
        ),
        (
            "(user_id, item_id) unique",
            "UPDATE core.interactions SET item_id = (SELECT item_id FROM core.interactions"
            " WHERE user_id = 1 AND split = 'test') WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "split in train, valid, test",
            "UPDATE core.interactions SET split = 'holdout' WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "one valid and one test for users with 3 interactions or more, else none",
            "UPDATE core.interactions SET split = 'train' WHERE user_id = 1 AND split = 'valid'",
            {},
        ),
        (
            "one valid and one test for users with 3 interactions or more, else none",
            "UPDATE core.interactions SET split = 'train' WHERE user_id = 1 AND split = 'test'",
            {},
        ),
        (
            "test is the last position",
            "UPDATE core.interactions AS i SET split = CASE position"
            f" WHEN {LAST} THEN 'train' ELSE 'test' END"
            f" WHERE user_id = 1 AND position IN ({LAST}, {LAST} - 2)",
            {},
        ),
        (
            "valid is the last but one position",
            "UPDATE core.interactions AS i SET split = CASE position"
            f" WHEN {LAST} - 1 THEN 'train' ELSE 'valid' END"
            f" WHERE user_id = 1 AND position IN ({LAST} - 1, {LAST} - 2)",
            {},
        ),
        (
            "5 interactions or more for each user_id",
            drop_first(3, rows=2),
            {"n_interactions": None},
        ),
        (
            "5 interactions or more for each item_id",
            "INSERT INTO core.items VALUES ('snapshot', 41, 123, 'T', '', 1);"
            "UPDATE core.interactions SET item_id = 41 WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "week between 1 and 52",
            "UPDATE core.interactions SET week = 53 WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "week is the ISO week in UTC",
            "UPDATE core.interactions SET week = week % 52 + 1 WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "scaled_interval = floor(gap / time_scale), null for the first",
            "UPDATE core.interactions SET scaled_interval = 0 WHERE user_id = 1 AND position = 1",
            {},
        ),
        (
            "scaled_interval = floor(gap / time_scale), null for the first",
            "UPDATE core.interactions SET scaled_interval = scaled_interval + 1"
            " WHERE user_id = 1 AND position = 4",
            {},
        ),
    ]
]


def dimension(suite: str, one: str, n_known: str, last: int, raw: int) -> list[Broken]:
    """What core.items and core.users have in common; `one` is item or user."""
    table, key, raw_key = f"core.{one}s", f"{one}_id", f"raw_{one}_id"
    unknown = {n_known: None}
    other = f"SELECT * REPLACE ({{}}) FROM {table} WHERE {key} = {last}"
    return [
        Broken(suite, f"row count = {last}", f"DELETE FROM {table} WHERE {key} = {last}"),
        Broken(
            suite,
            "snapshot_id in snapshot",
            f"UPDATE {table} SET snapshot_id = 'other' WHERE {key} = 1",
        ),
        Broken(
            suite,
            f"({key}) unique",
            f"INSERT INTO {table} " + other.format(f"{raw + 1} AS {raw_key}"),
            facts=unknown,
        ),
        Broken(
            suite,
            f"{key} from 1 without a gap",
            f"UPDATE {table} SET {key} = {last + 1} WHERE {key} = {last};"
            f"UPDATE core.interactions SET {key} = {last + 1} WHERE {key} = {last}",
        ),
        Broken(
            suite,
            f"({raw_key}) unique",
            f"UPDATE {table} SET {raw_key} = (SELECT {raw_key} FROM {table}"
            f" WHERE {key} = {last - 1}) WHERE {key} = {last}",
        ),
        Broken(
            suite,
            f"{key} in the order of {raw_key}",
            f"UPDATE {table} SET {raw_key} = 1 WHERE {key} = {last}",
        ),
        Broken(
            suite,
            "n_train as counted in core.interactions",
            f"UPDATE {table} SET n_train = n_train + 1 WHERE {key} = 1",
        ),
    ]


CORE_ITEMS = [
    *dimension("core_items", "item", "n_kept_items", last=40, raw=120),
    Broken(
        "core_items",
        "item_id in core.interactions",
        "INSERT INTO core.items VALUES ('snapshot', 41, 123, 'T', '', 0)",
        facts={"n_kept_items": None},
    ),
    Broken("core_items", "title known", "UPDATE core.items SET title = NULL WHERE item_id = 1"),
]

CORE_USERS = [
    *dimension("core_users", "user", "n_kept_users", last=60, raw=600),
    *(
        Broken("core_users", words, f"UPDATE core.users SET {change} WHERE user_id = 1")
        for words, change in {
            "n_interactions as counted in core.interactions": "n_interactions = n_interactions + 1",
            "time_scale at least 1": "time_scale = 0",
            "time_scale = shortest non-zero gap of the training part, else 1": "time_scale = 1",
        }.items()
    ),
]

ONE_DRAW = "WHERE user_id = 1 AND split = 'test'"
CORE_CANDIDATES = [
    Broken("core_candidates", words, sql, TWICE.get(words, ()))
    for words, sql in {
        "row count at least 1": "DELETE FROM core.candidates;"
        "UPDATE core.interactions SET split = 'train'",
        "snapshot_id in snapshot": f"UPDATE core.candidates SET snapshot_id = 'other' {ONE_DRAW}",
        "split in valid, test": "INSERT INTO core.candidates"
        f" SELECT * REPLACE ('train' AS split) FROM core.candidates {ONE_DRAW}",
        "(split, user_id) unique": "INSERT INTO core.candidates"
        f" SELECT * FROM core.candidates {ONE_DRAW}",
        "a draw for each held-out item, and no other": f"DELETE FROM core.candidates {ONE_DRAW}",
        "at least 1 candidate": f"UPDATE core.candidates SET item_ids = [] {ONE_DRAW};"
        "DELETE FROM core.candidates WHERE user_id = 1 AND split = 'valid';"
        "UPDATE core.interactions SET split = 'train' WHERE user_id = 1 AND split = 'valid';"
        "UPDATE core.users SET n_interactions = 40 WHERE user_id = 1",
        "100 candidates, or all items outside the history": (
            f"UPDATE core.candidates SET item_ids = item_ids[2:] {ONE_DRAW}"
        ),
        "candidates distinct": (
            "UPDATE core.candidates"
            f" SET item_ids = list_append(item_ids[2:], item_ids[2]) {ONE_DRAW}"
        ),
        "candidates between 1 and the number of items": (
            f"UPDATE core.candidates SET item_ids = list_append(item_ids[2:], 0) {ONE_DRAW}"
        ),
        "no candidate in the user's history": (
            "UPDATE core.candidates SET item_ids = list_append(item_ids[2:], (SELECT item_id"
            f" FROM core.interactions {ONE_DRAW})) {ONE_DRAW}"
        ),
    }.items()
]


def one_sequence(words: str, change: str, *also: str) -> Broken:
    return Broken(
        "sequences", words, f"UPDATE core.sequences SET {change} WHERE user_id = 1", also=also
    )


SEQUENCES = [
    Broken(
        "sequences",
        "row count = 60",
        "DELETE FROM core.sequences WHERE user_id = 60; DELETE FROM core.users WHERE user_id = 60",
    ),
    Broken(
        "sequences",
        "(user_id) unique",
        "INSERT INTO core.sequences SELECT * FROM core.sequences WHERE user_id = 1",
        facts={"n_kept_users": None},
    ),
    Broken(
        "sequences",
        "user_id as in core.users",
        "DELETE FROM core.sequences WHERE user_id = 60",
        facts={"n_kept_users": None},
    ),
    one_sequence(SAME_LENGTH, "weeks = list_append(weeks, 5)", AGREE),
    one_sequence(SAME_LENGTH, "ratings = list_append(ratings, 5)", AGREE),
    one_sequence("n_train = length - 2, or the length below 3", "n_train = n_train + 1"),
    one_sequence(
        "item_ids between 1 and the number of items",
        "item_ids = list_append(item_ids[2:], 41)",
        AGREE,
    ),
    one_sequence("weeks between 1 and 52", "weeks = list_append(weeks[2:], 53)", AGREE),
    one_sequence("timestamps ascending", "timestamps = list_reverse(timestamps)", AGREE),
    one_sequence("ratings between 1 and 10", "ratings = list_append(ratings[2:], 11)", AGREE),
    one_sequence("ratings between 1 and 10", "ratings = list_append(ratings[2:], 0)", AGREE),
    one_sequence("ratings between 1 and 10", "ratings = list_append(ratings[2:], NULL)", AGREE),
    one_sequence(  # the same rows in other places
        "timestamps ascending",
        ", ".join(f"{name} = list_reverse({name})" for name in HISTORY),
        AGREE,
    ),
    one_sequence(AGREE, "item_ids = list_reverse(item_ids)"),
    one_sequence(  # as it stands, but of somebody else
        AGREE,
        ", ".join(
            f"{name} = (SELECT {name} FROM core.sequences WHERE user_id = 4)" for name in HISTORY
        ),
    ),
    one_sequence(AGREE, "timestamps = [one + 1 for one in timestamps]"),
    one_sequence(AGREE, "weeks = [1 + one % 52 for one in weeks]"),
    one_sequence(AGREE, "ratings = [1 + one % 10 for one in ratings]"),
    one_sequence("time_scale as in core.users", "time_scale = time_scale + 1"),
    *(
        Broken("sequences", "genres as in core.items", change)
        for change in (
            "DELETE FROM core.sequence_genres WHERE item_id = 7",
            "INSERT INTO core.sequence_genres VALUES (41, ['Drama'])",
            "UPDATE core.sequence_genres SET genres = ['War'] WHERE item_id = 7",
        )
    ),
    one_sequence("valid_candidates as in core.candidates", "valid_candidates = []"),
    one_sequence("test_candidates as in core.candidates", "test_candidates = test_candidates[2:]"),
]

ONE_RANK = "WHERE user_id = 1 AND split = 'test' AND protocol = '{}'"
ONE_FULL = ONE_RANK.format("full")
ALL_RANKS = "WHERE split = 'test' AND protocol = 'full'"
COMPLETE = "a rank for each run, protocol and target, and no other"
COPY_RANK = "INSERT INTO mart.user_ranks SELECT * {} FROM mart.user_ranks " + ONE_FULL
USER_RANKS = [
    Broken(
        "user_ranks", "row count at least 1", "DELETE FROM mart.user_ranks", (), {"run_ids": ()}
    ),
    *(
        Broken("user_ranks", words, sql)
        for words, sql in {
            "distinct run_id are run": "UPDATE mart.user_ranks SET run_id = 'other'",
            "split in valid, test": COPY_RANK.format("REPLACE ('train' AS split)"),
            "protocol in uniform_100, full": COPY_RANK.format("REPLACE ('half' AS protocol)"),
            "(run_id, split, protocol, user_id) unique": COPY_RANK.format(""),
            COMPLETE: (f"DELETE FROM mart.user_ranks {ONE_FULL}"),
            "rank at least 1": f"UPDATE mart.user_ranks SET rank = 0.5 {ONE_FULL}",
            "rank at most n_candidates": (
                f"UPDATE mart.user_ranks SET rank = n_candidates + 1 {ONE_FULL}"
            ),
            "rank a multiple of 0.5": f"UPDATE mart.user_ranks SET rank = 3.25 {ONE_FULL}",
            "n_candidates of uniform_100 = candidates + 1": (
                "UPDATE mart.user_ranks SET n_candidates = n_candidates + 1 "
                + ONE_RANK.format("uniform_100")
            ),
            "n_candidates of full = items - history + 1": (
                f"UPDATE mart.user_ranks SET n_candidates = n_candidates + 1 {ONE_FULL}"
            ),
            "held-out item of each rank known": (
                "DELETE FROM core.interactions WHERE user_id = 7 AND split = 'test'"
            ),
            TOO_GOOD: f"UPDATE mart.user_ranks SET rank = 1 + user_id % 3 {ALL_RANKS}",
            BELOW_CHANCE: (
                f"UPDATE mart.user_ranks SET rank = n_candidates - user_id % 3 {ALL_RANKS}"
            ),
        }.items()
    ),
    Broken(
        "user_ranks",
        FEW,
        f"UPDATE mart.user_ranks SET n_candidates = 20, rank = 1 + user_id % 20 {ALL_RANKS}",
        ("n_candidates of full = items - history + 1",),
    ),
]

ONE_LIST = "UPDATE mart.top_lists SET {} WHERE user_id = 1 AND rank = {}"
COPY_PLACE = "INSERT INTO mart.top_lists SELECT * {} FROM mart.top_lists WHERE user_id = 1 AND rank"
TWICE, LENGTH = (
    "(run_id, user_id, rank) unique",
    ("20 places, or all candidates, for each training and test user, and nobody else"),
)
TOP_LISTS = [
    Broken("top_lists", words, sql, others)
    for words, sql, others in [
        ("row count at least 1", "DELETE FROM mart.top_lists", ()),
        ("run_id in run", "UPDATE mart.top_lists SET run_id = 'other'", (LENGTH,)),
        ("rank between 1 and 20", ONE_LIST.format("rank = 21", 20), ()),
        (TWICE, ONE_LIST.format("rank = 19", 20), ()),
        (
            "(run_id, user_id, item_id) unique",
            ONE_LIST.format(
                "item_id = (SELECT item_id FROM mart.top_lists WHERE user_id = 1 AND rank = 19)", 20
            ),
            (),
        ),
        (LENGTH, "DELETE FROM mart.top_lists WHERE user_id = 1 AND rank = 20", ()),
        (LENGTH, COPY_PLACE.format("REPLACE (-1 AS user_id)") + " = 1", ()),
        (
            "no item of the user's history but the held-out one",
            ONE_LIST.format(
                "item_id = (SELECT min(item_id) FROM core.interactions"
                " WHERE user_id = 1 AND split = 'train')",
                20,
            ),
            (),
        ),
        ("item_id in core.items", ONE_LIST.format("item_id = 999", 20), ()),
        (
            "a held-out item that ranks above 11 is listed",
            ONE_LIST.format(
                "item_id = (SELECT list_max(item_ids) FROM core.candidates"
                " WHERE user_id = 1 AND split = 'test')",
                1,
            ),
            (),
        ),
    ]
]

ONE_TARGET = "UPDATE mart.next_targets SET {} WHERE user_id = 7"
NEXT_TARGETS = [
    Broken("next_targets", words, sql)
    for words, sql in {
        "row count at least 1": "DELETE FROM mart.next_targets",
        "snapshot_id in snapshot": ONE_TARGET.format("snapshot_id = 'other'"),
        "(user_id) unique": (
            "INSERT INTO mart.next_targets FROM mart.next_targets WHERE user_id = 7"
        ),
        "timestamp between 788918400 and 1700000000": ONE_TARGET.format("timestamp = 788918399"),
        "waited_seconds at least 1": ONE_TARGET.format("waited_seconds = 0"),
        "user_id and item_id as in core.users and core.items": ONE_TARGET.format(
            "raw_item_id = raw_item_id + 1"
        ),
    }.items()
]
ONE_NEXT = "WHERE user_id = 7 AND protocol = 'full'"
COPY_NEXT = f"INSERT INTO mart.next_ranks SELECT * {{}} FROM mart.next_ranks {ONE_NEXT}"
NEXT_RANKS = [
    Broken(
        "next_ranks", "row count at least 1", "DELETE FROM mart.next_ranks", (), {"run_ids": ()}
    ),
    Broken(
        "next_ranks",
        "protocol in uniform_100, full",
        COPY_NEXT.format("REPLACE ('half' AS protocol)"),
    ),
    *(
        Broken("next_ranks", words, sql)
        for words, sql in {
            "distinct run_id are run": "UPDATE mart.next_ranks SET run_id = 'other'",
            "(run_id, protocol, user_id) unique": COPY_NEXT.format(""),
            COMPLETE: f"DELETE FROM mart.next_ranks {ONE_NEXT}",
            "rank at least 1": f"UPDATE mart.next_ranks SET rank = 0.5 {ONE_NEXT}",
            "rank a multiple of 0.5": f"UPDATE mart.next_ranks SET rank = 3.25 {ONE_NEXT}",
            "rank at most n_candidates": (
                f"UPDATE mart.next_ranks SET rank = n_candidates + 1 {ONE_NEXT}"
            ),
            "n_candidates of full = items - history": (
                f"UPDATE mart.next_ranks SET n_candidates = n_candidates + 1 {ONE_NEXT}"
            ),
            "n_candidates of uniform_100 = candidates + 1": (
                "UPDATE mart.next_ranks SET n_candidates = n_candidates + 1"
                " WHERE user_id = 7 AND protocol = 'uniform_100'"
            ),
            TOO_GOOD: "UPDATE mart.next_ranks SET rank = 1 + user_id % 3",
            BELOW_CHANCE: "UPDATE mart.next_ranks SET rank = n_candidates - user_id % 3",
        }.items()
    ),
    Broken(
        "next_ranks",
        FEW,
        "UPDATE mart.next_ranks SET n_candidates = 20, rank = 1 + user_id % 20",
        (
            "n_candidates of full = items - history",
            "n_candidates of uniform_100 = candidates + 1",
        ),
    ),
]

ONE_AHEAD = "UPDATE core.ahead SET {} WHERE user_id = 7"
ENDS = "histories of core.sequences, and what came next at their end"
DRAWN = "100 distinct candidates, or all items outside the history"
IN_HISTORY = "no candidate in the user's history, nor what came next among them"
NEXT_SEQUENCES = [
    Broken("next_sequences", words, sql, also)
    for words, sql, also in [
        (
            "row count = 60",
            "INSERT INTO core.ahead SELECT * REPLACE (61 AS user_id) FROM core.ahead"
            " WHERE user_id = 60",
            (ENDS, "time_scale as in core.sequences"),
        ),
        (
            "(user_id) unique",
            "INSERT INTO core.ahead FROM core.ahead WHERE user_id = 7",
            ("row count = 60",),
        ),
        (ENDS, ONE_AHEAD.format("timestamps = list_transform(timestamps, lambda t: t + 1)"), ()),
        (
            "n_train leaves out what came next and the one before, or nothing",
            ONE_AHEAD.format("n_train = n_train + 1"),
            (),
        ),
        (
            "what came next is not in what was trained on",
            "UPDATE mart.next_targets SET item_id = (SELECT item_ids[1] FROM core.sequences"
            " WHERE user_id = 7) WHERE user_id = 7;"
            + ONE_AHEAD.format("item_ids = item_ids[:len(item_ids) - 1] || [item_ids[1]]"),
            (),
        ),
        (
            IN_HISTORY,
            ONE_AHEAD.format("test_candidates = test_candidates[2:] || [item_ids[-1]]"),
            (),
        ),
        (DRAWN, ONE_AHEAD.format("test_candidates = test_candidates[2:]"), ()),
        ("time_scale as in core.sequences", ONE_AHEAD.format("time_scale = 1"), ()),
    ]
]

OTHER_TYPES = {
    "raw_ratings": "rating TYPE DOUBLE",
    "raw_items": "raw_item_id TYPE INTEGER",
    "raw_users": "raw_user_id TYPE INTEGER",
    "raw_rejects": "source_row TYPE INTEGER",
    "core_interactions": "scaled_interval TYPE INTEGER",
    "core_items": "n_train TYPE INTEGER",
    "core_users": "n_train TYPE INTEGER",
    "core_candidates": "item_ids TYPE BIGINT[]",
    "raw_user_keys": "raw_user_id TYPE INTEGER",
    "raw_item_keys": "raw_item_id TYPE INTEGER",
    "sequences": "weeks TYPE INTEGER[]",
    "user_ranks": "rank TYPE DOUBLE",
    "top_lists": "rank TYPE BIGINT",
    "next_targets": "item_id TYPE BIGINT",
    "next_sequences": "weeks TYPE INTEGER[]",
    "next_ranks": "rank TYPE DOUBLE",
}
OPTIONAL = {
    "raw_users": ("gender", "age", "occupation"),
    "core_interactions": ("scaled_interval",),
    "core_items": ("title", "genres"),
    "next_targets": ("item_id",),
}


def broken_contracts() -> list[Broken]:
    cases = []
    for suite, other_type in OTHER_TYPES.items():
        module = importlib.import_module(f"expectations.suites.{suite}")
        alter = f"ALTER TABLE {module.TABLE}"
        columns, types = ", ".join(module.COLUMNS), ", ".join(module.COLUMNS.values())
        cases += [
            Broken(suite, f"columns are {columns}", f"{alter} ADD COLUMN extra INTEGER"),
            Broken(suite, f"column types are {types}", f"{alter} ALTER {other_type}"),
        ]
    return cases


CASES = [
    *broken_contracts(),
    *RAW_RATINGS,
    *RAW_ITEMS,
    *RAW_USERS,
    *RAW_KEYS,
    *RAW_REJECTS,
    *CORE_INTERACTIONS,
    *CORE_ITEMS,
    *CORE_USERS,
    *CORE_CANDIDATES,
    *SEQUENCES,
    *USER_RANKS,
    *TOP_LISTS,
    *NEXT_TARGETS,
    *NEXT_SEQUENCES,
    *NEXT_RANKS,
]
NULLS = [
    (suite, column)
    for suite in suites.ALL
    for column in importlib.import_module(f"expectations.suites.{suite}").COLUMNS
    if column not in OPTIONAL.get(suite, ())
]


def failed(database: Path, suite: str, facts: Facts) -> set[str]:
    return {o.expectation for o in audit(database, [suite], facts) if not o.success}


def test_good_data_passes_everything(good, facts):
    outcomes = audit(good, suites.ALL, facts)
    assert [o for o in outcomes if not o.success] == []
    assert all(o.reason and o.severity in ("critical", "warning", "info") for o in outcomes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.suite}: {case.words}")
def test_broken_data_fails_exactly_its_expectation(case, changed, facts):
    known = replace(facts, **case.facts)
    assert failed(changed(case.sql), case.suite, known) == {case.words, *case.also}


@pytest.mark.parametrize("suite", suites.ALL)
def test_nulls_fail_their_expectations(suite, changed, facts):
    """All columns at once; an order or a count with a null in it may fail too."""
    module = importlib.import_module(f"expectations.suites.{suite}")
    columns = [column for name, column in NULLS if name == suite]
    nulls = "".join(
        f"; ALTER TABLE {module.TABLE} ALTER {column} DROP NOT NULL;"
        f"UPDATE {module.TABLE} SET {column} = NULL"
        f" WHERE rowid = (SELECT max(rowid) FROM {module.TABLE})"
        for column in columns
    )
    expected = {f"{column} not null" for column in columns}
    assert failed(changed(REJECT + nulls), suite, facts) >= expected


def test_no_expectation_is_without_its_failure(facts):
    tried = {(case.suite, case.words) for case in CASES}
    tried |= {(suite, f"{column} not null") for suite, column in NULLS}
    written = [
        (name, expectation.meta["words"])
        for name in suites.ALL
        for expectation in importlib.import_module(f"expectations.suites.{name}")
        .suite(facts)
        .expectations
    ]
    assert len(set(written)) == len(written), "two expectations of a suite share their words"
    assert set(written) == tried


def test_every_suite_file_is_listed():
    files = Path(suites.__file__).parent.glob("*.py")
    assert {path.stem for path in files} - {"__init__"} == set(suites.ALL)


def test_cold_start_has_users_who_only_train(changed, facts):
    cold = replace(facts, retention="cold-start", n_interactions=None)
    # User u keeps u interactions; user 2's only gap is as long as the time scale was before.
    database = changed(
        """
        DELETE FROM core.interactions WHERE user_id <= 2 AND position > user_id;
        UPDATE core.interactions SET split = 'train' WHERE user_id <= 2;
        UPDATE core.users SET n_interactions = user_id, n_train = user_id WHERE user_id <= 2;
        UPDATE core.users SET time_scale = 1 WHERE user_id = 1;
        UPDATE core.sequences SET time_scale = 1 WHERE user_id = 1;
        UPDATE core.sequences SET item_ids = item_ids[:user_id], weeks = weeks[:user_id],
            ratings = ratings[:user_id], timestamps = timestamps[:user_id], n_train = user_id,
            valid_candidates = [], test_candidates = []
        WHERE user_id <= 2;
        DELETE FROM core.candidates WHERE user_id <= 2;
        DELETE FROM mart.user_ranks WHERE user_id <= 2;
        DELETE FROM mart.top_lists WHERE user_id <= 2;
        UPDATE core.items AS t SET n_train = (SELECT count(*) FROM core.interactions AS i
            WHERE i.item_id = t.item_id AND split = 'train')
        """
    )
    for suite in (*suites.CORE, *suites.RANKS):
        assert failed(database, suite, cold) == set()


@pytest.mark.parametrize("seconds", [1, 90])
def test_a_row_out_of_order_is_told_once(seconds, changed, facts):
    """Its gap is negative: what it is in the user's pace says no more."""
    database = changed(
        f"""
        UPDATE core.interactions AS i SET timestamp = before.timestamp - {seconds}
        FROM core.interactions AS before
        WHERE i.user_id = 1 AND i.split = 'test' AND before.user_id = 1 AND before.split = 'valid'
        """
    )
    words = {"timestamp ascending with position"}
    assert failed(database, "core_interactions", facts) == words


def test_a_held_out_item_of_a_short_history_is_refused(changed, facts):
    cold = replace(facts, retention="cold-start", n_interactions=None)
    database = changed(
        """
        DELETE FROM core.interactions WHERE user_id = 2 AND position > 2;
        UPDATE core.interactions SET split = CASE position WHEN 2 THEN 'test' ELSE 'valid' END
        WHERE user_id = 2
        """
    )
    assert failed(database, "core_interactions", cold) == {
        "one valid and one test for users with 3 interactions or more, else none"
    }


def short_history(splits: str) -> str:
    """User 2 has exactly three interactions, in these splits."""
    return f"""
        DELETE FROM core.interactions WHERE user_id = 2 AND position > 3;
        UPDATE core.interactions SET split = [{splits}][position] WHERE user_id = 2
        """


@pytest.mark.parametrize(
    ("splits", "found"),
    [
        ("'train', 'valid', 'test'", set()),
        (
            "'train', 'train', 'train'",
            {"one valid and one test for users with 3 interactions or more, else none"},
        ),
    ],
)
def test_three_interactions_are_enough_for_a_split(splits, found, changed, facts):
    cold = replace(facts, retention="cold-start", n_interactions=None)
    assert failed(changed(short_history(splits)), "core_interactions", cold) == found


def test_new_years_day_2021_counts_as_week_52(good):
    """2021-01-01 is of ISO week 53 of 2020."""
    with duckdb.connect(str(good), read_only=True) as connection:
        weeks = connection.execute(
            "SELECT DISTINCT week FROM core.interactions"
            " WHERE timestamp BETWEEN 1609459200 AND 1609545599"
        ).fetchall()
    assert weeks == [(52,)]


@pytest.mark.parametrize("title", ["Caf\ufffd (1995)", "Caf\x82 (1995)", "CafÃ© (1995)"])
def test_signs_of_a_wrong_encoding(title, changed, facts):
    assert "title rightly decoded" in failed(changed(TITLE.format(title)), "raw_items", facts)


@pytest.mark.parametrize("title", ["Café (1995)", "São Paulo (1995)", "黒猫 😀 (1995)"])
def test_rightly_decoded_titles(title, changed, facts):
    assert failed(changed(TITLE.format(title)), "raw_items", facts) == set()


def suspected(database: Path, suite: str, facts: Facts) -> dict[str, list[dict[str, Any]]]:
    """The suspicions of a suite that did not hold, by name, with all their rows."""
    return {o.name: o.found for o in audit(database, [suite], facts) if o.name and not o.success}


def test_a_suspicion_warns_by_name_and_names_each_figure(changed, facts):
    """Five candidates each; six for half of the users on validation. At k = 1 all is well."""
    database = changed(
        "UPDATE mart.user_ranks SET n_candidates = 5, rank = 1 + user_id % 5;"
        "UPDATE mart.user_ranks SET n_candidates = 6 WHERE user_id <= 30 AND split = 'valid'"
    )
    outcomes = [o for o in audit(database, ["user_ranks"], facts) if o.name and not o.success]
    assert [(o.name, o.severity) for o in outcomes] == [("few-candidates", "warning")]
    rows = {
        (row["split"], row["protocol"], row["k"]): row["least_recall"] for row in outcomes[0].found
    }
    assert rows == {
        (split, protocol, k): 0.5 if split == "valid" and k == 5 else 1.0
        for split in ("valid", "test")
        for protocol in ("uniform_100", "full")
        for k in (5, 10, 20)
    }
    assert len(outcomes[0].sample) == 5


def test_a_suspicion_that_cannot_be_asked_stops_the_run_and_has_no_name(changed, facts):
    database = changed("ALTER TABLE core.items DROP COLUMN n_train")
    broken = [o for o in audit(database, ["user_ranks"], facts) if not o.success]
    assert {o.expectation for o in broken} == {TOO_GOOD, BELOW_CHANCE}
    assert {(o.severity, o.name) for o in broken} == {("critical", None)}


def test_everybody_among_the_first_ten_of_few_is_no_suspicion(changed, facts):
    """Of 34 candidates the first tenth are three; a fourth place shows that nothing leaked."""
    database = changed("UPDATE mart.user_ranks SET rank = 1 + user_id % 4")
    assert suspected(database, "user_ranks", facts) == {}


def test_what_popularity_alone_would_do_is_no_suspicion(changed, facts):
    """All held-out items are the one that everybody was trained on."""
    database = changed(
        "UPDATE mart.user_ranks SET rank = 1;"
        "UPDATE core.items SET n_train = 60 WHERE item_id = 1;"
        "UPDATE core.interactions SET item_id = 1 WHERE split <> 'train'"
    )
    assert suspected(database, "user_ranks", facts) == {}


BOTTOM = "UPDATE mart.user_ranks SET rank = n_candidates;"


def test_targets_never_trained_on_rank_last_rightly(changed, facts):
    database = changed(
        BOTTOM + "UPDATE core.items SET n_train = 0 WHERE item_id IN ("
        "SELECT item_id FROM core.interactions WHERE split <> 'train')"
    )
    assert suspected(database, "user_ranks", facts) == {}


def test_targets_that_were_rarely_trained_on_rank_as_their_popularity_says(changed, facts):
    """Everybody's targets are items 1 and 2, trained on once, among 38 that are popular.

    By popularity they rank 1 + 33 · 38.5 / 39 = 33.6 of 34, last but 0.4: no reason to suspect.
    """
    database = changed(
        BOTTOM + "UPDATE core.items SET n_train = if(item_id <= 2, 1, 9);"
        "UPDATE core.interactions SET item_id = if(split = 'test', 1, 2) WHERE split <> 'train'"
    )
    assert suspected(database, "user_ranks", facts) == {}


def test_a_turned_sign_is_suspected(changed, facts):
    found = suspected(changed(BOTTOM), "user_ranks", facts)
    assert set(found) == {"below-chance"}
    assert len(found["below-chance"]) == 4  # two splits, two protocols
    for row in found["below-chance"]:
        assert row["users"] == 60
        assert row["chance"] == pytest.approx(row["mean_rank"] / 2 + 0.5)


def test_names_on_the_command_line_are_those_of_the_suites():
    names = (suspicions.TOO_GOOD, suspicions.BELOW_CHANCE, suspicions.FEW_CANDIDATES)
    assert get_args(Suspicion) == names


def test_cut_offs_are_those_of_the_published_metrics():
    assert suspicions.K == figures.CUT_OFFS


def test_recall_of_one_over_few_users_is_no_leak(changed, facts):
    """49 users: small worlds are sometimes predicted whole."""
    database = changed(
        "UPDATE mart.user_ranks SET rank = 1;"
        "UPDATE mart.user_ranks SET rank = 11 WHERE user_id > 49;"
        "DELETE FROM mart.user_ranks WHERE user_id > 49;"
        "UPDATE core.users SET n_interactions = 2 WHERE user_id > 49"
    )
    assert failed(database, "user_ranks", facts) == set()


def test_chance_level_passes(changed, facts):
    """A constant model gets the middle rank (C + 1) / 2 for everyone."""
    database = changed("UPDATE mart.user_ranks SET rank = (n_candidates + 1) / 2")
    assert failed(database, "user_ranks", facts) == set()


def test_a_rank_that_is_no_number_fails(changed, facts):
    database = changed(f"UPDATE mart.user_ranks SET rank = 'nan' {ONE_FULL}")
    assert "rank at most n_candidates" in failed(database, "user_ranks", facts)


def as_file(database: Path, table: str, file: Path) -> None:
    """The table becomes a view on a Parquet file, of whose statistics PyArrow leaves NaN out."""
    with duckdb.connect(str(database)) as connection:
        pq.write_table(connection.sql(f"FROM {table}").to_arrow_table(), file)
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"CREATE VIEW {table} AS FROM '{file}'")


@pytest.mark.parametrize(
    ("suite", "column", "words"),
    [
        ("user_ranks", "rank", "rank at most n_candidates"),
        ("raw_ratings", "rating", "rating between 0.5 and 5.0"),
    ],
)
def test_a_nan_in_a_file_fails_and_is_shown(changed, facts, tmp_path, suite, column, words):
    """DuckDB answers WHERE from a file's statistics: not even isnan() finds a row."""
    table = suite.replace("raw_", "raw.") if suite.startswith("raw") else f"mart.{suite}"
    one = "WHERE user_id = 7" if suite == "user_ranks" else "WHERE source_row = 7"
    database = changed(
        f"UPDATE {table} SET {column} = 3; UPDATE {table} SET {column} = 'nan' {one}"
    )
    as_file(database, table, tmp_path / "rows.parquet")
    with duckdb.connect(str(database), read_only=True) as connection:
        asked = f"SELECT count(*) FROM {table} WHERE isnan({column})"
        assert connection.execute(asked).fetchall() == [(0,)]
    (found,) = [
        outcome for outcome in audit(database, [suite], facts) if outcome.expectation == words
    ]
    assert not found.success
    assert found.sample[0][column] == "nan"


ONE_PART = "DELETE FROM mart.user_ranks WHERE split <> 'test' OR protocol <> 'full';"
MISSES = "UPDATE mart.user_ranks SET rank = 'inf' WHERE user_id % 3 > 0;"


def test_an_imported_model_may_lack_a_split_and_a_protocol(changed, facts):
    database = changed(ONE_PART)
    assert failed(database, "user_ranks", facts) != set()
    said = replace(facts, splits=("test",), protocols=("full",))
    assert failed(database, "user_ranks", said) == set()
    lost = changed(f"{ONE_PART} DELETE FROM mart.user_ranks WHERE user_id = 7")
    assert any(
        words.startswith("a rank for each run") for words in failed(lost, "user_ranks", said)
    )
    more = changed("DELETE FROM mart.user_ranks WHERE protocol <> 'full'")
    assert failed(more, "user_ranks", said) != set()


def test_only_a_list_may_have_ranks_that_are_not_known(changed, facts):
    said = replace(facts, splits=("test",), protocols=("full",))
    database = changed(ONE_PART + MISSES)
    assert "rank at most n_candidates" in failed(database, "user_ranks", said)
    listed = replace(said, known_to=10)
    assert failed(database, "user_ranks", listed) == set()
    wrong = changed(f"{ONE_PART} UPDATE mart.user_ranks SET rank = 'nan' WHERE user_id = 7")
    assert "rank at most n_candidates" in failed(wrong, "user_ranks", listed)


def test_of_a_list_misses_count_against_what_is_too_good(changed, facts):
    """All who are in the list are among the first three; the others are not forgotten."""
    said = replace(facts, splits=("test",), protocols=("full",), known_to=3)
    good = "UPDATE mart.user_ranks SET rank = 1 + user_id % 3;"
    assert suspected(changed(ONE_PART + good), "user_ranks", said).keys() == {suspicions.TOO_GOOD}
    some = changed(f"{ONE_PART} {good} UPDATE mart.user_ranks SET rank = 'inf' WHERE user_id > 57")
    assert suspected(some, "user_ranks", said) == {}
    assert suspected(changed(ONE_PART + MISSES), "user_ranks", said) == {}


def test_a_count_that_nobody_knows_is_not_expected(facts):
    unknown = replace(facts, n_users=None, n_items=None)
    for known, columns in ((facts, ["raw_user_id", "raw_item_id"]), (unknown, [])):
        found = suites.raw_ratings.suite(known).expectations
        counted = [one.column for one in found if "UniqueValueCount" in type(one).__name__]
        assert counted == columns
