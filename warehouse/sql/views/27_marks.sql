CREATE OR REPLACE VIEW mart.marks AS
SELECT run_id, split, protocol, cuts.k AS k, name, bool_and(accepted_at IS NOT NULL) AS accepted
FROM mart.run_warnings AS suspected
JOIN (SELECT unnest([1, 5, 10, 20]) AS k) AS cuts ON suspected.k IS NULL OR suspected.k = cuts.k
GROUP BY ALL;
COMMENT ON VIEW mart.marks IS 'The suspicions of mart.run_warnings, for each cut-off that they concern.';
COMMENT ON COLUMN mart.marks.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.marks.split IS 'valid, test or next.';
COMMENT ON COLUMN mart.marks.protocol IS 'uniform_100 or full.';
COMMENT ON COLUMN mart.marks.k IS 'Cut-off.';
COMMENT ON COLUMN mart.marks.name IS 'Its name.';
COMMENT ON COLUMN mart.marks.accepted IS 'Whether somebody accepted it.';
