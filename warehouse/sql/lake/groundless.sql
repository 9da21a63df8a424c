-- What this publication adds to something that is published no more: of what, and its own id.
WITH this AS (SELECT publication FROM mart.catalogue)
SELECT 'load ' || load_id, snapshot_id FROM core.snapshots SEMI JOIN this USING (publication)
WHERE load_id NOT IN (SELECT load_id FROM raw.loads)
UNION ALL
SELECT 'snapshot ' || snapshot_id, run_id FROM mart.training_runs SEMI JOIN this USING (publication)
WHERE snapshot_id NOT IN (SELECT snapshot_id FROM core.snapshots)
UNION ALL
SELECT 'snapshot ' || snapshot_id, run_id FROM mart.imports SEMI JOIN this USING (publication)
WHERE snapshot_id NOT IN (SELECT snapshot_id FROM core.snapshots)
ORDER BY ALL
