-- $1: snapshot. Each two that stand beside each other on it and are not compared yet: an imported
-- model is beside trainings of several presets, and compared with another one once. Lists that end
-- before the tenth place are compared with nobody.
WITH beside AS (
    SELECT run_id, preset, splits FROM mart.board_runs
    WHERE snapshot_id = $1 AND coalesce(known_to >= 10, true)
)
SELECT min(one.preset) AS preset, one.run_id, other.run_id AS other_id
FROM beside AS one
JOIN beside AS other ON other.preset = one.preset AND one.run_id <= other.run_id
    AND list_has_any(one.splits, other.splits)
ANTI JOIN mart.run_pairs AS known ON known.run_id = one.run_id AND known.other_id = other.run_id
GROUP BY one.run_id, other.run_id
ORDER BY ALL
