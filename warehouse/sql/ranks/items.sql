INSERT INTO core.items BY NAME FROM warehouse.core.items WHERE snapshot_id = $1
