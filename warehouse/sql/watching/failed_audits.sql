-- $1: since (UTC). Infos are for reading, not for an alarm.
SELECT
    audit_id, table_name, expectation, severity, reason, unexpected_count,
    coalesce(run_id, snapshot_id, load_id) AS checked, checked_at
FROM mart.validation_results
WHERE NOT success AND severity IN ('critical', 'warning') AND checked_at > $1
ORDER BY checked_at, audit_id, table_name, expectation
