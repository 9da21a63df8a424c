SELECT load_id, dataset || ' from ' || source AS what
FROM raw.loads
ORDER BY publication DESC, loaded_at DESC, load_id LIMIT 1
