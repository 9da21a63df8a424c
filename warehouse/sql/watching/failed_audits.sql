-- $1: since (UTC). Infos are for reading, not for an alarm; what was accepted needs none.
SELECT
    audit_id, table_name, expectation, severity, reason, unexpected_count,
    coalesce(run_id, snapshot_id, load_id) AS checked, checked_at
FROM mart.validation_results AS results
WHERE NOT success AND severity IN ('critical', 'warning') AND checked_at > $1
    AND (name IS NULL OR EXISTS (
        FROM mart.run_warnings AS suspected
        WHERE suspected.audit_id = results.audit_id AND suspected.name = results.name
            AND accepted_at IS NULL
    ))
ORDER BY checked_at, audit_id, table_name, expectation
