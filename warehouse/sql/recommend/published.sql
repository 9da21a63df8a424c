-- $1: training. What was published of it last.
SELECT raw_user_id AS user, rank, title, genres, raw_item_id AS movie, score
FROM mart.recommendations AS latest
JOIN mart.training_runs USING (run_id)
JOIN core.items USING (snapshot_id, item_id)
WHERE run_id = $1
    AND latest.created_at = (SELECT max(created_at) FROM mart.recommendations WHERE run_id = $1)
ORDER BY raw_user_id, rank
