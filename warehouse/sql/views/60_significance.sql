-- Paired: for each user, the mean over seeds of each model's score, then the difference.
CREATE OR REPLACE VIEW mart.significance AS
WITH scores AS (
    SELECT
        snapshot_id, preset, model, split, protocol, user_id,
        avg(CASE WHEN rank <= 10 THEN 1.0 ELSE 0.0 END) AS recall_10,
        avg(CASE WHEN rank <= 10 THEN 1.0 / log2(rank::DOUBLE + 1.0) ELSE 0.0 END) AS ndcg_10,
        count(*) AS n_seeds
    FROM mart.user_ranks
    JOIN (SELECT * FROM mart.training_runs WHERE status = 'published') USING (run_id)
    GROUP BY ALL
), long AS (
    UNPIVOT scores ON recall_10, ndcg_10 INTO NAME metric VALUE score
), pairs AS (
    SELECT
        a.snapshot_id, a.preset, a.split, a.protocol, a.metric,
        a.model AS model, b.model AS baseline,
        avg(a.score - b.score) AS difference,
        stddev_samp(a.score - b.score) / sqrt(count(*)) AS standard_error,
        count(*) AS n_users, min(least(a.n_seeds, b.n_seeds)) AS n_seeds
    FROM long AS a
    JOIN long AS b USING (snapshot_id, preset, split, protocol, metric, user_id)
    WHERE a.model <> b.model
    GROUP BY ALL
)
SELECT
    *,
    difference - 1.96 * standard_error AS low,
    difference + 1.96 * standard_error AS high
FROM pairs;
COMMENT ON VIEW mart.significance IS 'Does one model beat another? Paired over users, averaged over seeds, with normal 95 % intervals. They cover the choice of users, not the choice of seeds.';
COMMENT ON COLUMN mart.significance.snapshot_id IS 'What both were trained on (core.snapshots).';
COMMENT ON COLUMN mart.significance.preset IS 'Named settings of both.';
COMMENT ON COLUMN mart.significance.split IS 'valid or test.';
COMMENT ON COLUMN mart.significance.protocol IS 'uniform_100 or full.';
COMMENT ON COLUMN mart.significance.metric IS 'recall_10 or ndcg_10.';
COMMENT ON COLUMN mart.significance.model IS 'Slug of the variant in question.';
COMMENT ON COLUMN mart.significance.baseline IS 'Slug of the variant it is compared with.';
COMMENT ON COLUMN mart.significance.difference IS 'Mean over users of model minus baseline.';
COMMENT ON COLUMN mart.significance.standard_error IS 'Standard error of that mean over users.';
COMMENT ON COLUMN mart.significance.n_users IS 'Users paired.';
COMMENT ON COLUMN mart.significance.n_seeds IS 'Seeds of the model that has fewer.';
COMMENT ON COLUMN mart.significance.low IS 'Lower end of the 95 % interval of the difference.';
COMMENT ON COLUMN mart.significance.high IS 'Upper end of the 95 % interval of the difference.';
