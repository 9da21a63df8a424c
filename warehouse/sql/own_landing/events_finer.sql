-- Times are finer than seconds: rows are numbered in the order of time, which the seconds alone would lose.
SELECT
    row_number() OVER (ORDER BY timestamp, nanosecond, source_row) AS source_row,
    raw_user_id, raw_item_id, rating, timestamp
FROM known_events
JOIN raw.user_keys USING (user_key)
JOIN raw.item_keys USING (item_key)
ORDER BY 1
