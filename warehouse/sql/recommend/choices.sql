-- $1: a model's name or slug, null for any. The data sets that have a training, the newest first.
-- Those as of some day are for backtests, and count where there is nothing else.
WITH trained AS (
    SELECT data, dataset, retention, coalesce(display_name, lineage.model) AS model, lineage.model AS slug, as_of, publication
    FROM mart.lineage AS lineage
    JOIN (SELECT run_id FROM mart.training_runs WHERE status = 'published') USING (run_id)
    JOIN (SELECT snapshot_id, publication FROM core.snapshots) USING (snapshot_id)
    LEFT JOIN mart.models AS models ON models.model = lineage.model
)
SELECT
    data, dataset, retention, string_agg(DISTINCT model, ', ' ORDER BY model) AS models
FROM trained
WHERE (as_of IS NULL OR NOT EXISTS (FROM trained WHERE as_of IS NULL))
    AND ($1::VARCHAR IS NULL OR lower($1) IN (lower(model), slug))
GROUP BY data, dataset, retention
ORDER BY max(publication) DESC, data, retention
