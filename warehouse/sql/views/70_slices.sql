CREATE OR REPLACE VIEW mart.slices AS
SELECT
    run_id, model, preset, seed, snapshot_id, split, protocol, slice, bucket,
    recall_10, ndcg_10, mrr_10, n_users
FROM mart.run_slices
JOIN mart.ranked_runs USING (run_id)
WHERE slice IN ('history', 'popularity', 'season');
COMMENT ON VIEW mart.slices IS 'Metrics at 10 by the length of the user''s training history, by how often training saw the held-out item, and by the season it was watched in (UTC). Users with fewer than three interactions have no held-out item and are in no slice.';
COMMENT ON COLUMN mart.slices.model IS 'Slug of the variant; of an imported model its name.';
COMMENT ON COLUMN mart.slices.preset IS 'Named settings it started from; imported, where there are none.';
COMMENT ON COLUMN mart.slices.slice IS 'history, popularity or season.';
COMMENT ON COLUMN mart.slices.bucket IS 'The part of it, numbered in order. History and popularity count interactions of the training part.';
COMMENT ON COLUMN mart.slices.n_users IS 'Users in it.';
