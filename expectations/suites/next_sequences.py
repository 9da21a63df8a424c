"""What must be true of `core.ahead`, a view over the file from which a backtest ranks.

It ends the histories of `core.sequences`, all that training was given, with what came next.
"""

from expectations.facts import Facts
from expectations.suites.sequences import COLUMNS
from expectations.vocabulary import Expectation, Suite, contract, no_rows, row_count, unique

TABLE = "core.ahead"
_BESIDE = """
SELECT user_id, batch.item_ids, batch.timestamps, batch.n_train, batch.time_scale,
       batch.test_candidates, batch.valid_candidates,
       known.item_ids AS before, known.timestamps AS times_before, known.time_scale AS scale_before,
       target.item_id AS target, (SELECT count(*) FROM core.items) AS n_items
FROM batch
LEFT JOIN core.sequences AS known USING (user_id)
LEFT JOIN mart.next_targets AS target USING (user_id)
"""


def suite(facts: Facts) -> Suite:
    """Expectations on the file; reads `core.sequences`, `core.items` and `mart.next_targets`."""
    return Suite(
        TABLE,
        ("user_id",),
        [
            row_count(facts.n_kept_users, reason="One row for each user of the snapshot."),
            *contract(TABLE, COLUMNS),
            unique("user_id", reason="A user twice counts twice."),
            *_histories(),
            *(_any_but_the_answer() if facts.comes_again else _new_to_the_user()),
            _same_scale(),
        ],
    )


def _histories() -> list[Expectation]:
    return [
        no_rows(
            "histories of core.sequences, and what came next at their end",
            _BESIDE,
            where="item_ids IS DISTINCT FROM before || if(target IS NULL, [], [target])"
            " OR timestamps[:len(before)] IS DISTINCT FROM times_before",
            shown="user_id, len(before) AS known, len(item_ids) AS length, target",
            reason="A model is asked about what was known before the day, and no more.",
        ),
        no_rows(
            "n_train leaves out what came next and the one before, or nothing",
            _BESIDE,
            where="n_train <> len(item_ids) - if(target IS NULL, 0, 2)",
            shown="user_id, n_train, len(item_ids) AS length, target",
            reason="Only what came next is ranked.",
        ),
    ]


def _new_to_the_user() -> list[Expectation]:
    """Exact: one row is the proof."""
    return [
        no_rows(
            "what came next is not in what was trained on",
            _BESIDE,
            where="list_contains(before, target)",
            shown="user_id, target",
            reason="An item of the history is no test: training has seen it.",
        ),
        no_rows(
            "no candidate in the user's history, nor what came next among them",
            _BESIDE,
            where="list_has_any(test_candidates, item_ids)",
            shown="user_id, list_intersect(test_candidates, item_ids) AS items",
            reason="A negative that the user had, or the answer itself, makes the rank wrong.",
        ),
        no_rows(
            "100 distinct candidates, or all items outside the history",
            _BESIDE,
            where="target IS NOT NULL AND (len(list_distinct(test_candidates))"
            " <> least(100, n_items - len(item_ids)) OR len(test_candidates)"
            " <> least(100, n_items - len(item_ids)))",
            shown="user_id, len(test_candidates) AS candidates, n_items - len(item_ids) AS others",
            reason="Fewer candidates make a better rank.",
        ),
    ]


def _any_but_the_answer() -> list[Expectation]:
    """Where items come again: what the user has had may be next as well."""
    return [
        no_rows(
            "what came next no candidate",
            _BESIDE,
            where="list_contains(test_candidates, target)",
            shown="user_id, target",
            reason="The answer among the negatives makes the rank wrong.",
        ),
        no_rows(
            "100 distinct candidates, or all items but what came next",
            _BESIDE,
            where="target IS NOT NULL AND (len(list_distinct(test_candidates))"
            " <> least(100, n_items - 1) OR len(test_candidates) <> least(100, n_items - 1))",
            shown="user_id, len(test_candidates) AS candidates, n_items - 1 AS others",
            reason="Fewer candidates make a better rank.",
        ),
    ]


def _same_scale() -> Expectation:
    return no_rows(
        "time_scale as in core.sequences",
        _BESIDE,
        where="time_scale IS DISTINCT FROM scale_before",
        shown="user_id, time_scale, scale_before",
        reason="With what came next in it, it would give away when that came.",
    )
