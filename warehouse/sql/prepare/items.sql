INSERT INTO core.items BY NAME
SELECT $1 AS snapshot_id, item_id, raw_item_id, title, genres, n_train FROM frame
