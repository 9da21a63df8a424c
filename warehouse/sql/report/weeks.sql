-- $1: snapshot. Interactions by week of the year.
SELECT week, count(*) AS n FROM core.interactions WHERE snapshot_id = $1 GROUP BY ALL ORDER BY ALL
