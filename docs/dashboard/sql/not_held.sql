-- Expectations that did not hold, the gravest and latest first.
SELECT
    checked_at, severity, table_name AS "table", expectation, observed, unexpected_count AS "rows against it",
    reason, coalesce(run_id, snapshot_id, load_id) AS checked
FROM mart.validation_results
WHERE NOT success
ORDER BY severity = 'critical' DESC, checked_at DESC, "table", expectation, checked
