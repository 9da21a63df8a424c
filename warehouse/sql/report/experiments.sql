-- What was trained on what: a part of the report each.
SELECT DISTINCT
    lineage.snapshot_id, lineage.preset, lineage.data, lineage.dataset, lineage.retention,
    snapshots.n_users, snapshots.n_items, snapshots.n_interactions
FROM mart.lineage AS lineage
JOIN mart.training_runs AS runs USING (run_id)
JOIN core.snapshots AS snapshots ON snapshots.snapshot_id = lineage.snapshot_id
WHERE status = 'published' AND snapshots.as_of IS NULL
ORDER BY lineage.data, lineage.retention, lineage.preset, lineage.snapshot_id
