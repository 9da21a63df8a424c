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
COMMENT ON COLUMN mart.metrics.run_id IS 'The training (mart.training_runs) or the import (mart.imports).';
COMMENT ON COLUMN mart.metrics.model IS 'Slug of the variant.';
COMMENT ON COLUMN mart.metrics.display_name IS 'Name of the variant in tables.';
COMMENT ON COLUMN mart.metrics.dataset IS 'Name of the data set.';
COMMENT ON COLUMN mart.metrics.data IS 'The data set, marked where its archive is unverified.';
COMMENT ON COLUMN mart.metrics.verified IS 'Whether the archive has the publisher''s checksum, or is the synthetic one, made here from a seed.';
COMMENT ON COLUMN mart.metrics.snapshot_id IS 'What it was trained on (core.snapshots).';
COMMENT ON COLUMN mart.metrics.retention IS '5-core or cold-start.';
COMMENT ON COLUMN mart.metrics.preset IS 'Named settings it started from; imported, where there are none.';
COMMENT ON COLUMN mart.metrics.seed IS 'Its seed; null of an imported model.';
COMMENT ON COLUMN mart.metrics.split IS 'valid or test.';
COMMENT ON COLUMN mart.metrics.protocol IS 'uniform_100: among 100 sampled items; full: among all items.';
COMMENT ON COLUMN mart.metrics.k IS 'Cut-off.';
COMMENT ON COLUMN mart.metrics.recall IS 'Share of users whose held-out item is among the first k, by mart.user_ranks.rank <= k; with one held-out item a user this is the hit rate. Null where an imported top list ends before k.';
COMMENT ON COLUMN mart.metrics.ndcg IS 'Mean of 1 / log2(rank + 1) within the first k, else 0; null where an imported top list ends before k.';
COMMENT ON COLUMN mart.metrics.mrr IS 'Mean of 1 / rank within the first k, else 0; with one held-out item a user this is MAP too. Of imported top lists MRR@k is known where the list reaches k, else null; MRR over all ranks is not known.';
COMMENT ON COLUMN mart.metrics.precision IS 'Recall divided by k: of the first k items one at most is right.';
COMMENT ON COLUMN mart.metrics.n_users IS 'Users averaged over.';
COMMENT ON COLUMN mart.metrics.as_of IS 'Only ratings before this day (UTC) were known; null: all of them.';
COMMENT ON COLUMN mart.metrics.least_recall IS 'Recall that holds whatever the model: the share of users with no more than k candidates.';
COMMENT ON COLUMN mart.metrics.least_ndcg IS 'NDCG that holds whatever the model.';
COMMENT ON COLUMN mart.metrics.warnings IS 'What audits suspected of this figure, and whether it was accepted (mart.marks); null: nothing.';
COMMENT ON COLUMN mart.metrics.imported IS 'Whether it is an imported model (mart.imports).';
