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
GROUP BY ALL
UNION ALL
-- what an owner does not say of a model, or says that it has seen
SELECT run_id, split, protocol, k, name, false
FROM figures, (
    SELECT run_id, 'training-unknown' AS name, true AS of_test, 0 AS known_to
    FROM mart.imports WHERE trained_on IS NULL AND promise IS NULL
    UNION ALL
    SELECT run_id, 'trained-on-valid', false, 0 FROM mart.imports WHERE trained_on = 'train+valid'
    UNION ALL
    SELECT run_id, 'known-to-' || known_to, true, known_to FROM mart.imports WHERE known_to IS NOT NULL
)
WHERE (split = 'valid' OR split = 'test' AND of_test) AND k > known_to;
COMMENT ON VIEW mart.marks IS 'The suspicions of mart.run_warnings at each figure that they concern: those without a cut-off at every one of the training. Of imported models also: training-unknown, where their owner says nothing of it, trained-on-valid, at figures of items that it has seen, and known-to-5 and the like, at more places than its lists are known to.';
COMMENT ON COLUMN mart.marks.split IS 'valid, test or next.';
COMMENT ON COLUMN mart.marks.name IS 'Its name.';
COMMENT ON COLUMN mart.marks.accepted IS 'Whether somebody accepted it.';
