-- $1: snapshot of own data, $2: numbers of users. Their ids.
SELECT raw_user_id, user_key
FROM raw.user_keys
JOIN core.snapshots USING (load_id)
WHERE snapshot_id = $1 AND list_contains($2::BIGINT[], raw_user_id)
