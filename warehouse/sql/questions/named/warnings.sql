-- What audits suspected of published trainings, by name; accepted or not, with the figures behind it.
SELECT
    dataset, retention, as_of, preset, coalesce(display_name, model) AS model, seed, name, suspected.split,
    suspected.protocol, k, accepted_at IS NOT NULL AS accepted, seen, found_at, run_id
FROM mart.run_warnings AS suspected
JOIN mart.ranked_runs USING (run_id)
JOIN (SELECT snapshot_id, load_id, retention, as_of FROM core.snapshots) USING (snapshot_id)
JOIN (SELECT load_id, dataset FROM raw.loads) USING (load_id)
LEFT JOIN (SELECT model, display_name FROM mart.models) USING (model)
ORDER BY accepted, dataset, retention, as_of NULLS FIRST, preset, model, seed, name, split, protocol, k
