-- $1: load, $2: snapshot, $3: numbers of users, null for all. Who rated, and their ids if they stayed.
SELECT raw_user_id, user_id
FROM (SELECT DISTINCT raw_user_id FROM raw.ratings WHERE load_id = $1)
LEFT JOIN (SELECT raw_user_id, user_id FROM core.users WHERE snapshot_id = $2) USING (raw_user_id)
WHERE $3::BIGINT[] IS NULL OR list_contains($3::BIGINT[], raw_user_id)
ORDER BY raw_user_id
