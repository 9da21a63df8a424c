-- $1: snapshot. The lowest and the highest number of a user who had rated by its day.
SELECT min(raw_user_id) AS lowest, max(raw_user_id) AS highest
FROM raw.ratings
JOIN (SELECT load_id, as_of FROM core.snapshots WHERE snapshot_id = $1) USING (load_id)
WHERE as_of IS NULL OR timestamp < epoch(as_of)
