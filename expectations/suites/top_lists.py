"""What must be true of `mart.top_lists` before they are published."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    between,
    contract,
    in_set,
    no_rows,
    row_count,
    unique,
)

TABLE = "mart.top_lists"
COLUMNS = {"run_id": "VARCHAR", "user_id": "INTEGER", "rank": "INTEGER", "item_id": "INTEGER"}
KEY = ("run_id", "user_id", "rank")
_AMONG = "FROM mart.user_ranks WHERE split = 'test' AND protocol = 'full'"


def suite(facts: Facts) -> Suite:
    """Expectations on lists; reads `core` and the ranks of the same trainings."""
    return Suite(
        TABLE,
        KEY,
        [
            row_count(None, reason="Trainings without lists are not audited here."),
            *contract(TABLE, COLUMNS),
            in_set(
                "run_id",
                list(facts.run_ids),
                reason="The lists of the trainings under audit, and of no others.",
            ),
            between("rank", 1, 20, reason="Lists have 20 places."),
            unique(*KEY, reason="A place holds one item."),
            unique("run_id", "user_id", "item_id", reason="An item listed twice counts twice."),
            _complete(),
            *([] if facts.comes_again else [_new_to_the_user()]),
            _known_items(),
            _as_ranked(),
        ],
    )


def _complete() -> Expectation:
    return no_rows(
        "20 places, or all candidates, for each training and test user, and nobody else",
        f"""
        WITH wanted AS (
            SELECT run_id, user_id, least(20, n_candidates) AS n
            {_AMONG} AND run_id IN (SELECT run_id FROM batch)
        ), there AS (
            SELECT run_id, user_id, count(*) AS n FROM batch GROUP BY ALL
        )
        SELECT coalesce(w.run_id, t.run_id) AS run_id, coalesce(w.user_id, t.user_id) AS user_id,
               t.n AS places, w.n AS expected
        FROM wanted AS w FULL JOIN there AS t ON w.run_id = t.run_id AND w.user_id = t.user_id
        WHERE t.n IS DISTINCT FROM w.n
        """,
        reason="Coverage and means of lists of other users, or other lengths, can't be compared.",
    )


def _new_to_the_user() -> Expectation:
    return no_rows(
        "no item of the user's history but the held-out one",
        """
        SELECT run_id, user_id, item_id
        FROM batch
        SEMI JOIN (FROM core.interactions WHERE split <> 'test') USING (user_id, item_id)
        ANTI JOIN (FROM core.interactions WHERE split = 'test') USING (user_id, item_id)
        """,
        reason="What the user has had is no candidate of the test either.",
    )


def _known_items() -> Expectation:
    return no_rows(
        "item_id in core.items",
        "SELECT run_id, user_id, item_id FROM batch ANTI JOIN core.items USING (item_id)",
        reason="Of an unknown item neither popularity nor genres are known.",
    )


def _as_ranked() -> Expectation:
    return no_rows(
        "a held-out item that ranks above 11 is listed",
        f"""
        SELECT run_id, user_id, rank
        FROM (SELECT run_id, user_id, rank {_AMONG} AND run_id IN (SELECT run_id FROM batch))
        ANTI JOIN (
            SELECT run_id, user_id
            FROM batch
            SEMI JOIN (SELECT * FROM core.interactions WHERE split = 'test')
                USING (user_id, item_id)
        ) USING (run_id, user_id)
        WHERE rank < 11
        """,
        reason="Left out of 20 places it has 20 items above or level with it: its rank is 11 or "
        "more. Otherwise lists and ranks are of different models.",
    )
