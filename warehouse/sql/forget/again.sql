-- $1: trainings. What must be trained again, a row for each data set, retention and preset.
SELECT
    dataset, any_value(source) AS source, bool_and(verified) AS verified, retention, as_of, preset,
    list(DISTINCT model ORDER BY model) AS models, max(seed) + 1 AS seeds
FROM mart.lineage
WHERE list_contains($1::VARCHAR[], run_id)
GROUP BY dataset, retention, as_of, preset
ORDER BY ALL
