-- $1: snapshot
SELECT item_id, raw_item_id, title, genres FROM core.items WHERE snapshot_id = $1 ORDER BY item_id
