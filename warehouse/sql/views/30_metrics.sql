CREATE OR REPLACE VIEW mart.metrics AS
SELECT
    run_id, model, display_name, dataset,
    dataset || CASE WHEN verified THEN '' ELSE ' (unverified: ' || source || ')' END AS data,
    verified, snapshot_id, retention, preset, seed,
    split, protocol, k, recall, ndcg, mrr, recall / k AS precision, n_users, as_of, least_recall, least_ndcg, warnings,
    runs.imported
FROM mart.run_metrics
JOIN mart.ranked_runs AS runs USING (run_id)
JOIN (SELECT snapshot_id, load_id, retention, as_of FROM core.snapshots) USING (snapshot_id)
JOIN (SELECT load_id, dataset, source, verified FROM raw.loads) USING (load_id)
LEFT JOIN (SELECT model, display_name FROM mart.models) USING (model)
LEFT JOIN (
    SELECT run_id, split, protocol, k, string_agg(name || CASE WHEN accepted THEN ' (accepted)' ELSE '' END, ', ' ORDER BY name) AS warnings
    FROM mart.marks GROUP BY ALL
) USING (run_id, split, protocol, k);
COMMENT ON VIEW mart.metrics IS 'Metrics of every published training and imported model, computed from mart.user_ranks when it was published. All are of the expected rank, in which an equal score counts half: a rank of 10.5 is not among the first 10.';
COMMENT ON COLUMN mart.metrics.preset IS 'Named settings it started from; imported, where there are none.';
COMMENT ON COLUMN mart.metrics.precision IS 'Recall divided by k: of the first k items one at most is right.';
COMMENT ON COLUMN mart.metrics.least_ndcg IS 'NDCG that holds whatever the model.';
COMMENT ON COLUMN mart.metrics.warnings IS 'What audits suspected of this figure, and whether it was accepted (mart.marks); null: nothing.';
