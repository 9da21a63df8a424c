-- What a publication holds although it was withdrawn: its id, and the reason. What was forgotten never
-- comes back; what was pruned may be made again, but nothing can be added to it while it is gone.
WITH things AS (
    SELECT load_id AS id FROM raw.loads
    UNION SELECT snapshot_id FROM core.snapshots
    UNION SELECT run_id FROM mart.training_runs
    UNION SELECT run_id FROM mart.imports
), held AS (
    SELECT id FROM things
    UNION SELECT id FROM mart.files
    UNION SELECT coalesce(load_id, snapshot_id, run_id) FROM mart.validation_results
)
SELECT id, reason FROM mart.withdrawn
WHERE reason = 'forgotten' AND id IN (SELECT id FROM held)
    OR id IN (SELECT id FROM mart.files) AND id NOT IN (SELECT id FROM things)
ORDER BY id
