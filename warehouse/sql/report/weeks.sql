-- Interactions by week of the year.
SELECT snapshot_id, week, count(*) AS n FROM core.interactions GROUP BY ALL ORDER BY ALL
