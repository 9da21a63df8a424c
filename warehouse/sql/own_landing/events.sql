SELECT source_row, raw_user_id, raw_item_id, rating, timestamp
FROM known_events
JOIN raw.user_keys USING (user_key)
JOIN raw.item_keys USING (item_key)
ORDER BY source_row
