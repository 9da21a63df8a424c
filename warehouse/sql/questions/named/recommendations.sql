-- What `fpt recommend` published, with titles.
-- $user = all: a user's number in the archive
-- $k = 1000: places of each
-- first: `fpt recommend --all`
SELECT
    raw_user_id AS user, rank, title, genres, round(score, 3) AS score,
    display_name AS model, recommendations.created_at, run_id
FROM mart.recommendations AS recommendations
JOIN mart.training_runs USING (run_id)
JOIN core.items USING (snapshot_id, item_id)
JOIN mart.models USING (model)
WHERE ($user IS NULL OR raw_user_id = $user) AND rank <= $k
ORDER BY run_id, raw_user_id, rank
