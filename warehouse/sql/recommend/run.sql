-- $1: how a training's id begins, $2: version of the models' code, which may not read what others
-- left. Snapshots of all that is known before those as of a day, the newest first; then trainings
-- of that code, then the best on validation.
SELECT
    run_id, lineage.snapshot_id, display_name, lineage.preset, lineage.seed, lineage.data,
    lineage.retention, checkpoint_sha256, sequences_path, sequences_sha256, model, load_id, as_of,
    code_version
FROM mart.lineage AS lineage
JOIN mart.models USING (model)
JOIN (SELECT snapshot_id, sequences_path, publication FROM core.snapshots) AS snapshots USING (snapshot_id)
JOIN (
    SELECT run_id, ndcg FROM mart.metrics
    WHERE split = 'valid' AND protocol = 'uniform_100' AND k = 10
) USING (run_id)
WHERE starts_with(run_id, $1)
ORDER BY as_of IS NULL DESC, snapshots.publication DESC, code_version = $2 DESC, ndcg DESC, run_id
