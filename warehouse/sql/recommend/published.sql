-- $1: training. What was published of it last.
SELECT
    raw_user_id, user_key, rank, coalesce(title, item_key) AS title, genres, raw_item_id, item_key, score
FROM mart.recommendations AS latest
JOIN mart.training_runs USING (run_id)
JOIN core.items USING (snapshot_id, item_id)
JOIN core.snapshots USING (snapshot_id)
LEFT JOIN raw.user_keys USING (load_id, raw_user_id)
LEFT JOIN raw.item_keys USING (load_id, raw_item_id)
WHERE run_id = $1
    AND latest.created_at = (SELECT max(created_at) FROM mart.recommendations WHERE run_id = $1)
ORDER BY raw_user_id, rank
