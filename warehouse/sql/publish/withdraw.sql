-- gone: ids of loads, snapshots, trainings and imports. All that the catalogue has of them.
DELETE FROM raw.loads WHERE load_id IN (SELECT id FROM gone);
DELETE FROM raw.descriptions WHERE load_id IN (SELECT id FROM gone);
DELETE FROM core.snapshots WHERE snapshot_id IN (SELECT id FROM gone);
DELETE FROM mart.training_runs WHERE run_id IN (SELECT id FROM gone);
DELETE FROM mart.imports WHERE run_id IN (SELECT id FROM gone);
DELETE FROM mart.epochs WHERE run_id IN (SELECT id FROM gone);
DELETE FROM mart.run_warnings WHERE run_id IN (SELECT id FROM gone);
DELETE FROM mart.run_metrics WHERE run_id IN (SELECT id FROM gone);
DELETE FROM mart.run_slices WHERE run_id IN (SELECT id FROM gone);
DELETE FROM mart.run_pairs WHERE run_id IN (SELECT id FROM gone) OR other_id IN (SELECT id FROM gone);
DELETE FROM mart.run_lists WHERE run_id IN (SELECT id FROM gone);
DELETE FROM mart.popularity_metrics WHERE snapshot_id IN (SELECT id FROM gone);
DELETE FROM mart.validation_results
WHERE coalesce(load_id, snapshot_id, run_id) IN (SELECT id FROM gone);
DELETE FROM mart.files WHERE id IN (SELECT id FROM gone);
