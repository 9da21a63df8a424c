-- Names are joined last: of millions of pairs none is mostly there twice.
WITH twice AS (
    SELECT user_id, item_id, count(*) AS times FROM scored GROUP BY split, user_id, item_id HAVING times > 1
)
SELECT user_key AS "user", item_key AS item, times
FROM twice
JOIN (SELECT user_id, user_key FROM known_users) USING (user_id)
JOIN (SELECT item_id, item_key FROM known_items) USING (item_id)
ORDER BY ALL
LIMIT 3
