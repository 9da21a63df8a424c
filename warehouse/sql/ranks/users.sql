INSERT INTO core.users BY NAME FROM warehouse.core.users WHERE snapshot_id = $1
