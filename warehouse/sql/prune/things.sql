-- All that is published: what it needs, what it is a newer or older one of, and the bytes of its files.
WITH sizes AS (SELECT id, sum(bytes) AS bytes FROM mart.files GROUP BY id),
loads AS (
    SELECT
        load_id, loaded_at, publication,
        dataset || CASE WHEN verified THEN '' ELSE ' (unverified: ' || source || ')' END AS data
    FROM raw.loads
), snapshots AS (
    SELECT
        snapshot_id, load_id, created_at, snapshots.publication,
        data || ' ' || retention || CASE WHEN as_of IS NULL THEN '' ELSE ' as of ' || as_of END AS data
    FROM core.snapshots AS snapshots
    LEFT JOIN loads USING (load_id)
), runs AS (
    SELECT
        run_id, snapshot_id, finished_at, runs.publication, status,
        concat_ws(' ', data, preset, coalesce(display_name, runs.model), 'seed', seed) AS label
    FROM mart.training_runs AS runs
    LEFT JOIN snapshots USING (snapshot_id)
    LEFT JOIN mart.models AS models ON models.model = runs.model
), things AS (
    SELECT 'load' AS kind, load_id AS id, NULL AS needs, data AS label, loaded_at AS made_at, publication, true AS counts
    FROM loads
    UNION ALL
    SELECT 'snapshot', snapshot_id, load_id, data, created_at, publication, true FROM snapshots
    UNION ALL
    SELECT 'training', run_id, snapshot_id, label, finished_at, publication, status = 'published' FROM runs
    UNION ALL
    -- one that still counts in a split, though a later one has taken its place in the other, stays
    SELECT
        'import', run_id, snapshot_id,
        concat_ws(' ', data, imports.name, '(imported)',
            CASE WHEN imports.publication < max(imports.publication) OVER (PARTITION BY snapshot_id, imports.name)
                 THEN array_to_string(latest.splits, ' ') END),
        imported_at, imports.publication, true
    FROM mart.imports AS imports
    LEFT JOIN snapshots USING (snapshot_id)
    LEFT JOIN (SELECT run_id, splits FROM mart.latest_imports) AS latest USING (run_id)
)
SELECT kind, id, needs, coalesce(label, '') AS label, made_at, publication, counts, coalesce(bytes, 0)::BIGINT AS bytes
FROM things
LEFT JOIN sizes USING (id)
ORDER BY kind, label, publication, made_at, id
