-- $1: load, $2: snapshot, $3: numbers of users that the snapshot left out. Their ratings of its items.
SELECT source_row, raw_user_id, raw_item_id, timestamp, item_id
FROM raw.ratings
JOIN (SELECT raw_item_id, item_id FROM core.items WHERE snapshot_id = $2) USING (raw_item_id)
WHERE load_id = $1 AND list_contains($3::BIGINT[], raw_user_id)
