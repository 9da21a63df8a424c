-- $forgotten: ids of users who are left out. The events that can be taken, and the items of the file.
CREATE TEMP TABLE known_events AS
SELECT source_row, user_key, item_key, timestamp, nanosecond, rating
FROM own_events
WHERE reason IS NULL AND NOT list_contains($forgotten::VARCHAR[], user_key);
CREATE TEMP TABLE left_out AS SELECT unnest($forgotten::VARCHAR[]) AS user_key
