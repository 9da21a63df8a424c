INSERT INTO core.interactions BY NAME
SELECT $1 AS snapshot_id, user_id, item_id, rating, timestamp, position, split, scaled_interval, week
FROM frame
