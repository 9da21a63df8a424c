-- $1: snapshot. Its items; of own data with their ids, by which one without a title is called.
SELECT item_id, raw_item_id, coalesce(title, item_key) AS title, genres, item_key
FROM core.items
JOIN core.snapshots USING (snapshot_id)
LEFT JOIN raw.item_keys USING (load_id, raw_item_id)
WHERE snapshot_id = $1
ORDER BY item_id
