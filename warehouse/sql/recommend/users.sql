-- $1: snapshot, $2: numbers of users, null for all. Who had rated by its day, and their ids if they stayed.
SELECT raw_user_id, user_id
FROM (
    SELECT DISTINCT raw_user_id FROM raw.ratings
    JOIN (SELECT load_id, as_of FROM core.snapshots WHERE snapshot_id = $1) USING (load_id)
    WHERE as_of IS NULL OR timestamp < epoch(as_of)
)
LEFT JOIN (SELECT raw_user_id, user_id FROM core.users WHERE snapshot_id = $1) USING (raw_user_id)
WHERE $2::BIGINT[] IS NULL OR list_contains($2::BIGINT[], raw_user_id)
ORDER BY raw_user_id
