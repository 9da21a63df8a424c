-- Trained again with other code or other settings of its preset, a training replaces the one before.
CREATE OR REPLACE VIEW mart.latest_runs AS
SELECT run_id, snapshot_id, preset, model, seed
FROM mart.training_runs
WHERE status = 'published'
QUALIFY row_number() OVER (
    PARTITION BY snapshot_id, preset, model, seed ORDER BY publication DESC, finished_at DESC, run_id
) = 1;
COMMENT ON VIEW mart.latest_runs IS 'Of each snapshot, preset, model and seed the training that was published last: what is averaged and compared.';
COMMENT ON COLUMN mart.latest_runs.run_id IS 'The training (mart.training_runs).';
