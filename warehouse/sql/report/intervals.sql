-- $1: snapshot. How long users of the training part pause: each bucket is named by what it stays under.
SELECT bucket, count(*) AS n
FROM (
    SELECT
        timestamp - lag(timestamp) OVER (PARTITION BY user_id ORDER BY position) AS seconds,
        CASE WHEN seconds = 0 THEN 'same second' WHEN seconds < 60 THEN 'a minute'
             WHEN seconds < 3600 THEN 'an hour' WHEN seconds < 86400 THEN 'a day'
             WHEN seconds < 604800 THEN 'a week' WHEN seconds < 2629800 THEN 'a month'
             WHEN seconds < 31557600 THEN 'a year' ELSE 'longer' END AS bucket
    FROM core.interactions
    WHERE snapshot_id = $1 AND split = 'train'
)
WHERE seconds IS NOT NULL
GROUP BY bucket
