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
COMMENT ON COLUMN mart.ladder.model IS 'Slug of the variant that is claimed to be better.';
COMMENT ON COLUMN mart.ladder.n_users IS 'Users paired.';
COMMENT ON COLUMN mart.ladder.n_seeds IS 'Seeds of the model that has fewer.';
COMMENT ON COLUMN mart.ladder.paper_difference IS 'The difference that the paper prints (MovieLens-1M, uniform_100, one run); null where it prints none.';
