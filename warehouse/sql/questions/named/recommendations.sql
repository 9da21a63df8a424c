-- What `fpt recommend` published last for each user of a data set, with titles.
-- $user = all: a user's number in the archive, or id in your own data
-- $k = 1000: places of each
-- first: `fpt recommend --all`
SELECT
    coalesce(user_key, CAST(raw_user_id AS VARCHAR)) AS user, rank, title, genres,
    round(score, 3) AS score, model, created_at, run_id
FROM main.recommendations
WHERE newest AND ($user IS NULL OR coalesce(user_key, CAST(raw_user_id AS VARCHAR)) = $user) AND rank <= $k
ORDER BY dataset, retention, raw_user_id, rank
