-- $1: how a training's id begins, $2: version of the models' code, which may not read what others
-- left, $3: data set with its archive, $4: retention, $5: model's name or slug; null for any.
-- Snapshots of all that is known before those as of a day, the newest first; then trainings of that
-- code, then the best on validation.
SELECT
    run_id, lineage.snapshot_id, coalesce(display_name, lineage.model) AS display_name, lineage.preset, lineage.seed,
    lineage.data, lineage.retention, checkpoint_sha256, sequences_path, sequences_sha256, lineage.model,
    load_id, as_of, code_version, lineage.dataset
FROM mart.lineage AS lineage
LEFT JOIN mart.models AS models ON models.model = lineage.model
JOIN (SELECT snapshot_id, sequences_path, publication FROM core.snapshots) AS snapshots USING (snapshot_id)
JOIN (
    SELECT run_id, ndcg FROM mart.metrics
    WHERE split = 'valid' AND protocol = 'uniform_100' AND k = 10
) USING (run_id)
WHERE starts_with(run_id, $1)
    AND ($3::VARCHAR IS NULL OR data = $3)
    AND ($4::VARCHAR IS NULL OR lineage.retention = $4)
    AND ($5::VARCHAR IS NULL OR lower($5) IN (lower(display_name), lineage.model))
ORDER BY as_of IS NULL DESC, snapshots.publication DESC, code_version = $2 DESC, ndcg DESC, run_id
