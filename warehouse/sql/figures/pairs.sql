-- $1: snapshot. Each two trainings of it that count and are not compared yet.
WITH latest AS (SELECT run_id, preset FROM mart.latest_runs WHERE snapshot_id = $1)
SELECT one.preset, one.run_id, other.run_id AS other_id
FROM latest AS one
JOIN latest AS other ON other.preset = one.preset AND one.run_id <= other.run_id
ANTI JOIN mart.run_pairs AS known ON known.run_id = one.run_id AND known.other_id = other.run_id
ORDER BY ALL
