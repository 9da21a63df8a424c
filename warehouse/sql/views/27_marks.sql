-- One without a cut-off is suspected of the training, hence of each of its figures.
CREATE OR REPLACE VIEW mart.marks AS
WITH figures AS (
    FROM (SELECT unnest(['valid', 'test', 'next']) AS split),
         (SELECT unnest(['uniform_100', 'full']) AS protocol), (SELECT unnest([1, 5, 10, 20]) AS k)
)
SELECT
    run_id, figures.split AS split, figures.protocol AS protocol, figures.k AS k, name,
    bool_and(accepted_at IS NOT NULL) AS accepted
FROM mart.run_warnings AS suspected
JOIN figures ON suspected.k IS NULL OR (
    suspected.k = figures.k AND suspected.split = figures.split
    AND suspected.protocol = figures.protocol
)
GROUP BY ALL;
COMMENT ON VIEW mart.marks IS 'The suspicions of mart.run_warnings at each figure that they concern: those without a cut-off at every one of the training.';
COMMENT ON COLUMN mart.marks.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.marks.split IS 'valid, test or next.';
COMMENT ON COLUMN mart.marks.protocol IS 'uniform_100: among 100 sampled items; full: among all items.';
COMMENT ON COLUMN mart.marks.k IS 'Cut-off.';
COMMENT ON COLUMN mart.marks.name IS 'Its name.';
COMMENT ON COLUMN mart.marks.accepted IS 'Whether somebody accepted it.';
