"""Suspicions: what a table of ranks looks like when something is wrong, or the data is unusual.

They are statistics, so they warn and prove nothing: people look, and accept them by name where the
data explains them (`--accept NAME`). Leaks that can be proved are exact expectations of the suites,
without a name.

Each is asked of `run_id`, `split`, `protocol`, and reads `core.items`.
"""

from expectations.vocabulary import Expectation, suspicion

TOO_GOOD, BELOW_CHANCE, FEW_CANDIDATES = "too-good", "below-chance", "few-candidates"
K = (1, 5, 10, 20)  # cut-offs that metrics are published at
FIRST = 10  # places that a user must have been given the item in, to be too good
MIN_USERS = 50
MIN_CANDIDATES = 10  # with fewer, the first place is no surprise
STANDARD_ERRORS = 5
MOST = 0.5  # a share of users


def suspicions(batch: str, targets: str) -> list[Expectation]:
    """Those of a table of ranks.

    Args:
        batch: SQL of the ranks, with their `split`.
        targets: SQL of `split`, `user_id`, `item_id`: what was ranked.
    """
    ranked = _ranked(batch, targets)
    return [_too_good(ranked), _below_chance(ranked), _few_candidates(batch)]


def _ranked(batch: str, targets: str) -> str:
    """Ranks, how often training saw their targets, and the rank that their popularity would give.

    An item's share is that of the other items that training saw more often, and half of those seen
    as often. Times the candidates it is the rank by popularity, but for what the user has had.
    """
    return f"""
        WITH popular AS (
            SELECT item_id, n_train,
                   (rank() OVER (ORDER BY n_train DESC) - 1
                       + (count(*) OVER (PARTITION BY n_train) - 1) / 2)
                   / greatest(count(*) OVER () - 1, 1) AS share
            FROM core.items
        ),
        ranked AS (
            SELECT run_id, split, protocol, rank, n_candidates, n_train,
                   1 + (n_candidates - 1) * share AS by_popularity
            FROM ({batch}) JOIN ({targets}) USING (split, user_id) JOIN popular USING (item_id)
            WHERE rank BETWEEN 1 AND n_candidates
        )
    """


def _too_good(ranked: str) -> Expectation:
    limit = f"least({FIRST}, n_candidates / 10)"
    return suspicion(
        TOO_GOOD,
        f"not everybody's target among the first {FIRST} and the first tenth,"
        f" over {MIN_USERS} users or more",
        f"""
        {ranked}
        SELECT run_id, split, protocol, count(*) AS users, max(rank) AS worst_rank,
               min(n_candidates) AS fewest_candidates,
               count(*) FILTER (n_train = 0) AS never_trained
        FROM ranked WHERE n_candidates >= {MIN_CANDIDATES}
        GROUP BY run_id, split, protocol
        HAVING users >= {MIN_USERS} AND bool_and(rank <= {limit})
           AND NOT bool_and(by_popularity <= {limit})
        """,
        reason="No model puts the right item first for everybody, unless the order of items is "
        "fixed: the held-out items may have reached it in training.",
    )


def _below_chance(ranked: str) -> Expectation:
    return suspicion(
        BELOW_CHANCE,
        "targets that were trained on rank like chance or popularity, or better:"
        f" {STANDARD_ERRORS} standard errors",
        # A random scorer's rank is uniform on 1..C: mean (C + 1) / 2, variance (C² - 1) / 12.
        f"""
        {ranked}
        SELECT run_id, split, protocol, count(*) AS users, avg(rank) AS mean_rank,
               avg((n_candidates + 1) / 2) AS chance, avg(by_popularity) AS popularity,
               sqrt(sum((n_candidates * CAST(n_candidates AS DOUBLE) - 1) / 12))
                   / count(*) AS standard_error
        FROM ranked WHERE n_train > 0
        GROUP BY run_id, split, protocol
        HAVING mean_rank > greatest(chance, popularity) + {STANDARD_ERRORS} * standard_error
        """,
        reason="Worse than guessing: a sign may be wrong, users may be mixed up, or tastes have "
        "changed.",
    )


def _few_candidates(batch: str) -> Expectation:
    cuts = ", ".join(map(str, K))
    return suspicion(
        FEW_CANDIDATES,
        f"more than k candidates for most users, k = {cuts}",
        f"""
        SELECT run_id, split, protocol, k, count(*) AS users,
               avg(CAST(n_candidates <= k AS INTEGER)) AS least_recall,
               min(n_candidates) AS fewest_candidates
        FROM ({batch}) CROSS JOIN (SELECT unnest([{cuts}]) AS k)
        GROUP BY run_id, split, protocol, k
        HAVING least_recall >= {MOST}
        """,
        reason="With k candidates or fewer, everybody's item is among the first k whatever the "
        "model does, so Recall@k says little of the model.",
    )
