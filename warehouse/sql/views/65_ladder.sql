CREATE OR REPLACE VIEW mart.ladder AS
WITH rungs AS (
    SELECT
        snapshot_id, preset, model, rung,
        lag(model) OVER (PARTITION BY snapshot_id, preset ORDER BY rung) AS baseline
    FROM (SELECT DISTINCT snapshot_id, preset, model FROM mart.training_runs WHERE status = 'published')
    JOIN mart.models USING (model)
)
SELECT
    snapshot_id, loads.dataset, retention, preset, split, protocol, metric, rungs.rung,
    upper.display_name AS model, lower.display_name AS baseline,
    difference, low, high,
    CASE WHEN low > 0 THEN 'better' WHEN high < 0 THEN 'worse' ELSE 'undecided' END AS verdict,
    significance.n_users, n_seeds
FROM rungs
JOIN mart.significance AS significance USING (snapshot_id, preset, model, baseline)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads AS loads USING (load_id)
JOIN mart.models AS upper USING (model)
JOIN mart.models AS lower ON lower.model = baseline;
COMMENT ON VIEW mart.ladder IS 'Each trained variant against the next lower one of the ladder: mart.significance, named and in order.';
COMMENT ON COLUMN mart.ladder.snapshot_id IS 'What both were trained on (core.snapshots).';
COMMENT ON COLUMN mart.ladder.dataset IS 'Name of the data set.';
COMMENT ON COLUMN mart.ladder.retention IS '5-core or cold-start.';
COMMENT ON COLUMN mart.ladder.preset IS 'Named settings of both.';
COMMENT ON COLUMN mart.ladder.split IS 'valid or test.';
COMMENT ON COLUMN mart.ladder.protocol IS 'uniform_100 or full.';
COMMENT ON COLUMN mart.ladder.metric IS 'recall_10 or ndcg_10.';
COMMENT ON COLUMN mart.ladder.rung IS 'Order of the ladder (mart.models).';
COMMENT ON COLUMN mart.ladder.model IS 'Name of the variant in question.';
COMMENT ON COLUMN mart.ladder.baseline IS 'Name of the variant it is compared with.';
COMMENT ON COLUMN mart.ladder.difference IS 'Mean over users of model minus baseline.';
COMMENT ON COLUMN mart.ladder.low IS 'Lower end of the 95 % interval of the difference.';
COMMENT ON COLUMN mart.ladder.high IS 'Upper end of the 95 % interval of the difference.';
COMMENT ON COLUMN mart.ladder.verdict IS 'better or worse where the interval leaves out zero, else undecided.';
COMMENT ON COLUMN mart.ladder.n_users IS 'Users paired.';
COMMENT ON COLUMN mart.ladder.n_seeds IS 'Seeds of the model that has fewer.';
