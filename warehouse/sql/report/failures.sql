-- Each expectation that did not hold, as it was seen last, the gravest and latest first.
SELECT
    severity, name, table_name, expectation, unexpected_count AS offending_rows, sample, reason,
    checked_at, count(*) OVER seen AS times,
    (SELECT bool_and(accepted_at IS NOT NULL) FROM mart.run_warnings AS suspected
     WHERE suspected.audit_id = results.audit_id AND suspected.name = results.name) AS accepted
FROM mart.validation_results AS results
WHERE NOT success
WINDOW seen AS (PARTITION BY severity, name, table_name, expectation)
QUALIFY row_number() OVER (
    PARTITION BY severity, name, table_name, expectation
    ORDER BY checked_at DESC, unexpected_count DESC, audit_id
) = 1
ORDER BY
    CASE severity WHEN 'critical' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END,
    checked_at DESC, offending_rows DESC, table_name, expectation
