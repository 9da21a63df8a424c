CREATE OR REPLACE VIEW mart.ladder AS
SELECT
    snapshot_id, loads.dataset, snapshots.retention, preset, compared.model, compared.baseline,
    split, protocol, metric, difference, low, high, verdict,
    compared.n_users, n_seeds,
    CASE WHEN loads.dataset = 'ml-1m' AND protocol = 'uniform_100' THEN
        CASE metric WHEN 'recall_10' THEN above.recall_10 - below.recall_10
                    WHEN 'ndcg_10' THEN above.ndcg_10 - below.ndcg_10 END
    END AS paper_difference
FROM mart.significance AS compared
JOIN mart.rungs USING (model, baseline)
JOIN core.snapshots AS snapshots USING (snapshot_id)
JOIN raw.loads AS loads USING (load_id)
LEFT JOIN mart.paper_results AS above
    ON above.model = compared.model AND above.retention = snapshots.retention
LEFT JOIN mart.paper_results AS below
    ON below.model = compared.baseline AND below.retention = snapshots.retention;
COMMENT ON VIEW mart.ladder IS 'Does each rung of the ladder help? The comparisons of mart.significance that the paper makes, beside its own differences.';
COMMENT ON COLUMN mart.ladder.snapshot_id IS 'What both were trained on (core.snapshots).';
COMMENT ON COLUMN mart.ladder.dataset IS 'Name of the data set.';
COMMENT ON COLUMN mart.ladder.retention IS '5-core or cold-start.';
COMMENT ON COLUMN mart.ladder.preset IS 'Named settings of both.';
COMMENT ON COLUMN mart.ladder.model IS 'Slug of the variant that is claimed to be better.';
COMMENT ON COLUMN mart.ladder.baseline IS 'Slug of the one that it is compared with.';
COMMENT ON COLUMN mart.ladder.split IS 'valid or test.';
COMMENT ON COLUMN mart.ladder.protocol IS 'uniform_100: among 100 sampled items; full: among all items.';
COMMENT ON COLUMN mart.ladder.metric IS 'recall_10, ndcg_10 or mrr_10.';
COMMENT ON COLUMN mart.ladder.difference IS 'Mean over users of model minus baseline.';
COMMENT ON COLUMN mart.ladder.low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN mart.ladder.high IS 'Upper end of its 95 % interval.';
COMMENT ON COLUMN mart.ladder.verdict IS 'better or worse when the interval leaves out zero, else undecided.';
COMMENT ON COLUMN mart.ladder.n_users IS 'Users paired.';
COMMENT ON COLUMN mart.ladder.n_seeds IS 'Seeds of the model that has fewer.';
COMMENT ON COLUMN mart.ladder.paper_difference IS 'The difference that the paper prints (MovieLens-1M, uniform_100, one run); null where it prints none.';
