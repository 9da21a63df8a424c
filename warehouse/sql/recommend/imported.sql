-- $1: how an import's id begins, $2: a model's name; either may be empty.
SELECT DISTINCT name FROM mart.imports
WHERE ($1 <> '' AND starts_with(run_id, $1)) OR ($2 <> '' AND lower(name) = lower($2))
ORDER BY name LIMIT 1
