INSERT INTO core.candidates BY NAME
SELECT $1 AS snapshot_id, split, user_id, item_ids FROM frame
