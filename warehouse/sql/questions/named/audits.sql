-- How many expectations held, by audited table and day.
-- first: `fpt run`
SELECT
    checked_at::DATE AS checked_on, table_name,
    count(*) AS expectations, count(*) FILTER (success) AS held,
    count(*) FILTER (NOT success AND severity = 'critical') AS critical,
    count(*) FILTER (NOT success AND severity = 'warning') AS warnings
FROM mart.validation_results
GROUP BY ALL
ORDER BY checked_on DESC, table_name
