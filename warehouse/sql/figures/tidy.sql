-- Figures of what is there no more, and pairs with one that another has replaced.
DELETE FROM mart.run_metrics WHERE run_id NOT IN (SELECT run_id FROM mart.ranked_runs);
DELETE FROM mart.run_slices WHERE run_id NOT IN (SELECT run_id FROM mart.ranked_runs);
DELETE FROM mart.run_lists WHERE run_id NOT IN (SELECT run_id FROM mart.training_runs WHERE status = 'published');
DELETE FROM mart.run_pairs
WHERE run_id NOT IN (SELECT run_id FROM mart.board_runs) OR other_id NOT IN (SELECT run_id FROM mart.board_runs);
DELETE FROM mart.popularity_metrics WHERE snapshot_id NOT IN (SELECT snapshot_id FROM core.snapshots)
