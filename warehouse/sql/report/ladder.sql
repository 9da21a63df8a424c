-- The paired differences of the ladder.
SELECT ladder.* EXCLUDE (model, baseline), models.display_name AS model, below.display_name AS baseline
FROM mart.ladder AS ladder
JOIN mart.models AS models USING (model)
JOIN mart.models AS below ON below.model = ladder.baseline
WHERE split = 'test' AND protocol = 'uniform_100'
ORDER BY snapshot_id, preset, metric, models.rung, below.rung DESC
