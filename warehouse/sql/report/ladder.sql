-- The paired differences of the ladder.
SELECT * FROM mart.ladder
WHERE split = 'test' AND protocol = 'uniform_100'
ORDER BY snapshot_id, preset, metric, rung
