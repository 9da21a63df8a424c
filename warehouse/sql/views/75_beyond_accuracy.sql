CREATE OR REPLACE VIEW mart.beyond_accuracy AS
SELECT
    run_id, model, display_name, dataset, data, verified, snapshot_id, retention, preset, seed, as_of,
    k, slice, bucket, coverage, gini, novelty, popularity, profile_popularity,
    popularity_lift, diversity, n_users
FROM mart.run_lists
JOIN (SELECT run_id FROM mart.training_runs WHERE status = 'published') USING (run_id)
JOIN mart.lineage USING (run_id)
LEFT JOIN mart.models USING (model);
COMMENT ON VIEW mart.beyond_accuracy IS 'What models recommend, whether right or not: coverage, novelty, popularity bias, Gini index and diversity of the first k for every test user (mart.top_lists). Trainings published by earlier versions have none.';
COMMENT ON COLUMN mart.beyond_accuracy.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.beyond_accuracy.k IS 'Length of the lists: 1, 5, 10 or 20.';
COMMENT ON COLUMN mart.beyond_accuracy.n_users IS 'Users whose lists they are.';
