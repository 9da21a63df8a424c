-- What audits suspected of published trainings, by name; accepted or not, with the figures behind it.
SELECT
    dataset, retention, as_of, preset, display_name AS model, seed, name, suspected.split,
    suspected.protocol, k, accepted_at IS NOT NULL AS accepted, seen, found_at, run_id
FROM mart.run_warnings AS suspected
JOIN mart.lineage USING (run_id)
LEFT JOIN mart.models USING (model)
ORDER BY accepted, dataset, retention, as_of NULLS FIRST, preset, model, seed, name, split, protocol, k
