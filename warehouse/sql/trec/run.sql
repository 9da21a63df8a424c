-- $run_id, $split, $protocol, $depth, $tag. A line for each place of each user down to a depth: the
-- held-out item stands at its own, and at the others stand names for the items that are not stored.
-- Of a rank between two places (half of the equal ones count) it is the later one.
SELECT
    url_encode(user_key) AS query, 'Q0' AS unused,
    CASE WHEN place = own THEN url_encode(item_key) ELSE 'other:' || place END AS document,
    place, $depth + 1 - place AS score, $tag AS tag
FROM (
    SELECT
        user_id, user_key, item_key,
        CASE WHEN isfinite(rank) THEN ceil(rank)::BIGINT END AS own,
        unnest(range(1, 1 + least($depth, n_candidates))) AS place
    FROM ranks
)
ORDER BY user_id, place
