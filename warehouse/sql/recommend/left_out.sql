-- $1: snapshot, $2: numbers of users that it left out. Their ratings of its items, up to its day.
SELECT source_row, raw_user_id, raw_item_id, rating, timestamp, item_id
FROM raw.ratings
JOIN (SELECT load_id, as_of FROM core.snapshots WHERE snapshot_id = $1) USING (load_id)
JOIN (SELECT raw_item_id, item_id FROM core.items WHERE snapshot_id = $1) USING (raw_item_id)
WHERE (as_of IS NULL OR timestamp < epoch(as_of)) AND list_contains($2::BIGINT[], raw_user_id)
