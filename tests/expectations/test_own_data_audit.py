"""What audits say of own data: nothing of MovieLens, and what its description promises."""

from dataclasses import replace

import pytest

from expectations import suites
from expectations.facts import Facts
from expectations.runner import audit

# Any scale: 0 to 100 in steps of 10; the models' half stars are stretched to it.
SCALED = """
UPDATE raw.ratings SET rating = (rating - 0.5) / 4.5 * 90 + 10;
UPDATE core.interactions SET rating = (rating - 0.5) / 4.5 * 90 + 10;
"""
UNRATED = """
UPDATE raw.ratings SET rating = NULL; UPDATE core.interactions SET rating = NULL;
UPDATE core.sequences SET ratings = list_transform(ratings, lambda one: CAST(0 AS TINYINT));
"""
UNNAMED = """
DELETE FROM raw.items; UPDATE core.items SET title = NULL, genres = NULL;
DELETE FROM core.sequence_genres;
"""
# The held-out item is one that the user has had, and all that was had may be drawn.
AGAIN = """
UPDATE core.interactions AS held SET item_id = first.item_id
FROM core.interactions AS first
WHERE held.user_id = 1 AND held.split = 'test' AND first.user_id = 1 AND first.position = 1;
UPDATE core.sequences SET item_ids = item_ids[:-2] || [item_ids[1]] WHERE user_id = 1;
UPDATE core.candidates AS drawn SET item_ids = others.item_ids
FROM (
    SELECT held.split, held.user_id, list(items.item_id ORDER BY items.item_id) AS item_ids
    FROM core.interactions AS held, core.items AS items
    WHERE held.split <> 'train' AND items.item_id <> held.item_id
    GROUP BY held.split, held.user_id
) AS others
WHERE others.split = drawn.split AND others.user_id = drawn.user_id;
UPDATE core.sequences AS sequences SET valid_candidates = drawn.item_ids
FROM core.candidates AS drawn WHERE drawn.split = 'valid' AND drawn.user_id = sequences.user_id;
UPDATE core.sequences AS sequences SET test_candidates = drawn.item_ids
FROM core.candidates AS drawn WHERE drawn.split = 'test' AND drawn.user_id = sequences.user_id;
UPDATE core.items AS items SET n_train = (
    SELECT count(*) FROM core.interactions AS i WHERE i.item_id = items.item_id AND split = 'train'
);
UPDATE mart.user_ranks SET n_candidates = 40;
"""
BEFORE = suites.RAW + suites.OWN + suites.CORE + suites.RANKS


@pytest.fixture(scope="module")
def own(facts) -> Facts:
    return replace(
        facts, own=True, rating_min=10.0, rating_max=100.0, rating_step=10.0, timestamp_min=0,
        retention="cold-start",
    )  # fmt: skip


def failed(database, names, facts):
    return {one.expectation for one in audit(database, names, facts) if not one.success}


@pytest.mark.parametrize(
    ("sql", "facts_of"),
    [
        (SCALED, {}),
        (SCALED, {"rating_step": None}),
        (UNRATED, {"rated": False}),
        (UNRATED + UNNAMED, {"rated": False, "named": False}),
        (
            SCALED + "UPDATE raw.items SET title = NULL, genres = '' WHERE raw_item_id = 3;"
            "UPDATE raw.ratings SET timestamp = timestamp - 1000000000",
            {},
        ),
    ],
    ids=["scaled", "any number", "unrated", "unrated and unnamed", "old and partly named"],
)
def test_own_data_of_every_kind_passes(sql, facts_of, changed, own):
    assert failed(changed(sql), BEFORE, replace(own, **facts_of)) == set()


def test_where_items_come_again_only_their_number_is_told(changed, own):
    found = audit(changed(SCALED + AGAIN), BEFORE, replace(own, repeats="all"))
    ((told),) = [one for one in found if not one.success]
    assert (told.expectation, told.severity) == ("held-out item new to its user", "info")
    assert told.unexpected_count == 1


@pytest.mark.parametrize(
    ("suite", "words", "sql", "facts_of"),
    [
        ("raw_ratings", "rating between 10.0 and 100.0", "rating = 0 WHERE source_row = 5", {}),
        ("raw_ratings", "rating a multiple of 10 above 10", "rating = 44 WHERE source_row = 5", {}),
        ("raw_ratings", "rating null", "rating = 50 WHERE source_row = 5", {"rated": False}),
    ],
)
def test_ratings_are_as_described(suite, words, sql, facts_of, changed, own):
    world = UNRATED if facts_of else SCALED
    database = changed(f"{world} UPDATE raw.ratings SET {sql}")
    assert failed(database, [suite], replace(own, **facts_of)) == {words}


@pytest.mark.parametrize(
    ("stars", "also"), [(4, set()), (0, {"ratings between 1 and 10"})], ids=["another", "unknown"]
)
def test_half_stars_of_a_scale_are_those_of_its_ratings(stars, also, changed, own):
    database = changed(
        SCALED + "UPDATE core.sequences SET ratings = list_prepend("
        f"CAST({stars} AS TINYINT), ratings[2:]) WHERE user_id = 1"
    )
    assert failed(database, ["sequences"], own) == {"histories as in core.interactions"} | also


@pytest.mark.parametrize(
    ("suite", "words", "sql"),
    [
        (
            "core_candidates",
            "held-out item no candidate",
            "UPDATE core.candidates SET item_ids = list_append(item_ids[2:], (SELECT item_id FROM"
            " core.interactions AS i WHERE i.user_id = 2 AND i.split = 'test'))"
            " WHERE user_id = 2 AND split = 'test' AND item_ids[1] <> 0",
        ),
        (
            "core_candidates",
            "100 candidates, or all items but the held-out one",
            "UPDATE core.candidates SET item_ids = item_ids[2:] WHERE user_id = 2",
        ),
        (
            "user_ranks",
            "n_candidates of full = items",
            "UPDATE mart.user_ranks SET n_candidates = 39 WHERE user_id = 2 AND protocol = 'full'",
        ),
    ],
)
def test_where_items_come_again_all_but_the_answer_are_ranked(suite, words, sql, changed, own):
    database = changed(f"{SCALED} {AGAIN} {sql}")
    assert failed(database, [suite], replace(own, repeats="all")) == {words}


AHEAD = """
UPDATE core.ahead AS ahead SET test_candidates = (
    SELECT list(item_id ORDER BY item_id) FROM core.items
    WHERE item_id <> (SELECT item_id FROM mart.next_targets AS t WHERE t.user_id = ahead.user_id)
) WHERE user_id <> 60;
UPDATE mart.next_ranks SET n_candidates = 40;
"""


def test_what_comes_next_may_be_an_item_of_the_history(changed, own):
    again = """
    UPDATE mart.next_targets SET item_id = (
        SELECT item_id FROM core.interactions AS i WHERE i.user_id = 1 AND position = 1
    ) WHERE user_id = 1;
    UPDATE mart.next_targets SET raw_item_id = item_id * 3 WHERE user_id = 1;
    UPDATE core.ahead SET item_ids = item_ids[:-2] || [item_ids[1]] WHERE user_id = 1;
    """
    database = changed(SCALED + again + AHEAD)
    facts = replace(own, repeats="all", timestamp_min=1_640_000_000)
    assert failed(database, suites.NEXT, facts) == set()
    assert failed(database, suites.NEXT, replace(facts, repeats="first")) >= {
        "what came next is not in what was trained on",
        "n_candidates of full = items - history",
    }


@pytest.mark.parametrize(
    ("suite", "words", "sql"),
    [
        (
            "next_sequences",
            "what came next no candidate",
            "UPDATE core.ahead SET test_candidates = list_append(test_candidates[2:], item_ids[-1])"
            " WHERE user_id = 2",
        ),
        (
            "next_sequences",
            "100 distinct candidates, or all items but what came next",
            "UPDATE core.ahead SET test_candidates = test_candidates[2:] WHERE user_id = 2",
        ),
        (
            "next_ranks",
            "n_candidates of full = items",
            "UPDATE mart.next_ranks SET n_candidates = 39 WHERE user_id = 2 AND protocol = 'full'",
        ),
    ],
)
def test_next_items_are_ranked_among_all_but_themselves(suite, words, sql, changed, own):
    facts = replace(own, repeats="all", timestamp_min=1_640_000_000)
    assert failed(changed(f"{AHEAD} {sql}"), [suite], facts) == {words}
