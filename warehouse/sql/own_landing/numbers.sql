-- Numbers of ids, from 1 in their order: it follows from the data alone.
INSERT INTO raw.user_keys
SELECT load_id, row_number() OVER (ORDER BY user_key), user_key
FROM (SELECT DISTINCT user_key FROM known_events), about
ORDER BY user_key;
INSERT INTO raw.item_keys
SELECT load_id, row_number() OVER (ORDER BY item_key), item_key
FROM (
    SELECT item_key FROM known_events
    UNION SELECT item_key FROM own_items WHERE reason IS NULL
), about
ORDER BY item_key
