-- The trainings that took longest, and what an epoch of theirs costs.
-- $k = 10: how many
-- first: `fpt run`
SELECT
    dataset, retention, display_name AS model, runs.preset, runs.seed, runs.device,
    round(train_seconds, 1) AS seconds, epochs, round(epoch_seconds, 3) AS seconds_an_epoch,
    runs.finished_at, run_id
FROM mart.training_runs AS runs
JOIN (
    SELECT run_id, count(*) AS epochs, median(seconds) AS epoch_seconds FROM mart.epochs GROUP BY run_id
) USING (run_id)
JOIN mart.models USING (model)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
ORDER BY train_seconds DESC, run_id
LIMIT $k
