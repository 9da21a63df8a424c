-- What `fpt recommend` published, with titles.
-- $user = all: a user's number in the archive, or id in your own data
-- $k = 1000: places of each
-- first: `fpt recommend --all`
SELECT
    coalesce(user_key, CAST(raw_user_id AS VARCHAR)) AS user, rank, coalesce(title, item_key) AS title, genres,
    round(score, 3) AS score, display_name AS model, recommendations.created_at, run_id
FROM mart.recommendations AS recommendations
JOIN mart.training_runs USING (run_id)
JOIN core.items USING (snapshot_id, item_id)
JOIN mart.models USING (model)
JOIN core.snapshots USING (snapshot_id)
LEFT JOIN raw.user_keys USING (load_id, raw_user_id)
LEFT JOIN raw.item_keys USING (load_id, raw_item_id)
WHERE ($user IS NULL OR coalesce(user_key, CAST(raw_user_id AS VARCHAR)) = $user) AND rank <= $k
ORDER BY run_id, raw_user_id, rank
