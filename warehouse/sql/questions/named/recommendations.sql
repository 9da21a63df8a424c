-- What `fpt recommend` published, with titles.
SELECT
    raw_user_id AS user, rank, title, genres, round(score, 3) AS score,
    display_name AS model, recommendations.created_at, run_id
FROM mart.recommendations AS recommendations
JOIN mart.training_runs USING (run_id)
JOIN core.items USING (snapshot_id, item_id)
JOIN mart.models USING (model)
ORDER BY run_id, raw_user_id, rank
