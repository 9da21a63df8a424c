INSERT INTO core.users BY NAME
SELECT $1 AS snapshot_id, user_id, raw_user_id, n_interactions, n_train, time_scale FROM frame
