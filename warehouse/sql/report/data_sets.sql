-- The newest snapshot of each data set and retention that something was trained on, with all that is
-- known by now: a page of the report each.
WITH trained AS (
    SELECT snapshot_id, count(DISTINCT model) AS n_models, count(*) AS n_trainings
    FROM mart.latest_runs GROUP BY snapshot_id
), sources AS (
    SELECT DISTINCT snapshot_id, data, dataset, verified FROM mart.lineage
)
SELECT
    snapshot_id, data, dataset, retention, verified, n_users, n_items, n_interactions,
    n_models, n_trainings
FROM trained
JOIN sources USING (snapshot_id)
JOIN core.snapshots USING (snapshot_id)
WHERE as_of IS NULL
QUALIFY row_number() OVER (PARTITION BY data, retention ORDER BY publication DESC, snapshot_id) = 1
ORDER BY data, retention
