-- How many expectations held, by day and table.
SELECT
    checked_at::DATE AS day, table_name AS "table", count(*) AS checked, count(*) FILTER (success) AS held,
    count(*) FILTER (NOT success AND severity = 'critical') AS critical,
    count(*) FILTER (NOT success AND severity <> 'critical') AS warnings
FROM mart.validation_results
GROUP BY ALL
ORDER BY day DESC, "table"
