-- Expectations that did not hold, the gravest and latest first, with offending rows.
SELECT
    checked_at, severity, name,
    (SELECT bool_and(accepted_at IS NOT NULL) FROM mart.run_warnings AS suspected
     WHERE suspected.audit_id = results.audit_id AND suspected.name = results.name) AS accepted,
    table_name, expectation, unexpected_count AS offending_rows, observed,
    sample, reason, coalesce(run_id, snapshot_id, load_id) AS checked
FROM mart.validation_results AS results
WHERE NOT success
ORDER BY
    CASE severity WHEN 'critical' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END,
    checked_at DESC, unexpected_count DESC, table_name, expectation, audit_id
