-- Of older warehouses, which did not keep the splits of an import: those of its ranks.
UPDATE mart.imports SET splits = (
    SELECT list(DISTINCT split) FROM mart.user_ranks AS ranks WHERE ranks.run_id = imports.run_id
)
WHERE splits IS NULL
