-- What audits suspected of trainings and imports, accepted or not, and what is not known of imports.
SELECT
    dataset, retention, as_of, preset, coalesce(display_name, model) AS model, seed, name, suspected.split,
    suspected.protocol, k, accepted_at IS NOT NULL AS accepted, seen, found_at, run_id
FROM (
    SELECT run_id, name, split, protocol, k, accepted_at, seen, found_at FROM mart.run_warnings
    UNION ALL BY NAME
    -- marks that no audit made, at figures that there are; of some cut-offs the first
    SELECT run_id, name, split, CASE WHEN count(DISTINCT k) < 4 THEN min(k) END AS k, any_value(imported_at) AS found_at
    FROM mart.marks
    ANTI JOIN mart.run_warnings USING (run_id, name)
    SEMI JOIN mart.run_metrics USING (run_id, split, protocol, k)
    JOIN (SELECT run_id, imported_at FROM mart.imports) USING (run_id)
    GROUP BY run_id, name, split
) AS suspected
JOIN mart.ranked_runs USING (run_id)
JOIN (SELECT snapshot_id, load_id, retention, as_of FROM core.snapshots) USING (snapshot_id)
JOIN (SELECT load_id, dataset FROM raw.loads) USING (load_id)
LEFT JOIN (SELECT model, display_name FROM mart.models) USING (model)
ORDER BY accepted, dataset, retention, as_of NULLS FIRST, preset, model, seed, name, split, protocol, k
