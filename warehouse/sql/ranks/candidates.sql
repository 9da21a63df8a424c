INSERT INTO core.candidates BY NAME FROM warehouse.core.candidates WHERE snapshot_id = $1
