SELECT any_value(raw_user_id) AS "user", any_value(raw_item_id) AS item, count(*) AS times
FROM scored
JOIN (SELECT user_id, raw_user_id FROM known_users) USING (user_id)
JOIN (SELECT item_id, raw_item_id FROM known_items) USING (item_id)
GROUP BY split, user_id, item_id
HAVING times > 1
ORDER BY ALL
LIMIT 3
