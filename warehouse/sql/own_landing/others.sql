-- Users, items, and what could not be taken. Of a row that was not read at all it is unknown whose it
-- is, so one that may be of a forgotten user goes too.
INSERT INTO raw.users BY NAME
SELECT about.load_id, raw_user_id FROM raw.user_keys, about ORDER BY raw_user_id;
INSERT INTO raw.items BY NAME
SELECT about.load_id, raw_item_id, title, categories AS genres
FROM own_items
JOIN raw.item_keys USING (item_key)
CROSS JOIN about
WHERE reason IS NULL
ORDER BY raw_item_id;
INSERT INTO raw.rejects BY NAME
SELECT load_id, events_file AS member, source_row, left(line, 200) AS line, reason
FROM own_events AS events, about
WHERE reason IS NOT NULL AND NOT EXISTS (
    FROM left_out
    WHERE left_out.user_key = events.user_key
        OR (events.user_key IS NULL AND own_may_name(line, left_out.user_key))
)
UNION ALL BY NAME
SELECT load_id, items_file AS member, source_row, left(line, 200) AS line, reason
FROM own_items, about
WHERE reason IS NOT NULL
ORDER BY member, source_row
