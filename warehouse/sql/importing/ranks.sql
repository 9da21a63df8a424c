-- $protocols, $listed: top lists, where a target outside of its list has no rank that is known.
SELECT
    split, 'full' AS protocol, user_id,
    CASE WHEN $listed AND NOT has_target THEN 'inf'::FLOAT ELSE 1 + above + equal / 2 END AS rank,
    n_unseen + 1 AS n_candidates
FROM places
WHERE list_contains($protocols, 'full')
UNION ALL
SELECT split, 'uniform_100', user_id, 1 + drawn_above + drawn_equal / 2, n_drawn + 1
FROM places
WHERE list_contains($protocols, 'uniform_100')
ORDER BY split DESC, protocol DESC, user_id
