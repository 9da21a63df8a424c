INSERT INTO mart.validation_results BY NAME
SELECT
    audit_id, table_name, expectation, severity, success, observed, unexpected_count, sample, reason,
    load_id, snapshot_id, run_id, checked_at, name
FROM frame
