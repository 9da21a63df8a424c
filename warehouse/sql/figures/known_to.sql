-- $1: trainings and imported models. Up to which place ranks are known, of lists that end somewhere.
SELECT run_id, known_to FROM mart.imports
WHERE list_contains($1::VARCHAR[], run_id) AND known_to IS NOT NULL
