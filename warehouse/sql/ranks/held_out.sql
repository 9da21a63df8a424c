INSERT INTO core.interactions BY NAME
FROM warehouse.core.interactions WHERE snapshot_id = $1 AND split <> 'train'
