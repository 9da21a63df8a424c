-- $1: whether all unseen items must be there, else the drawn ones. Who lacks how many, the target too.
SELECT
    user_key AS "user", split,
    CASE WHEN $1 THEN n_unseen - n_scored_unseen ELSE n_drawn - n_scored_drawn END
        + (NOT has_target)::INTEGER AS lacking,
    CASE WHEN $1 THEN n_unseen ELSE n_drawn END + 1 AS needed
FROM places
JOIN (SELECT user_id, user_key FROM known_users) USING (user_id)
WHERE lacking > 0
ORDER BY user_id, split
