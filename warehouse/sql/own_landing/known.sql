-- The events that can be taken, without those of the forgotten.
CREATE TEMP TABLE known_events AS
SELECT source_row, user_key, item_key, timestamp, nanosecond, rating
FROM own_events
WHERE reason IS NULL AND NOT list_contains((SELECT forgotten FROM about), user_key);
CREATE TEMP TABLE left_out AS SELECT unnest(forgotten) AS user_key FROM about
