-- $1: snapshots, $2: presets. Popularity first: what every model must beat. What was changed by hand
-- stands behind a preset's name.
WITH board AS (
    SELECT
        data, retention, dataset, snapshot_id, preset, model, display_name, protocol, n_seeds, recall, ndcg, warnings
    FROM mart.leaderboard
    WHERE snapshot_id IN (SELECT unnest($1::VARCHAR[])) AND preset IN (SELECT unnest($2::VARCHAR[]))
        AND split = 'test' AND k = 10
    UNION ALL BY NAME
    SELECT DISTINCT
        data, retention, dataset, snapshot_id, '' AS preset, 'popularity' AS model,
        'popularity' AS display_name, protocol, recall, ndcg
    FROM mart.popularity_metrics
    JOIN mart.lineage USING (snapshot_id)
    WHERE snapshot_id IN (SELECT unnest($1::VARCHAR[])) AND preset IN (SELECT unnest($2::VARCHAR[]))
        AND split = 'test' AND k = 10
)
SELECT
    sampled.data, sampled.retention, sampled.display_name AS model,
    nullif(array_to_string(string_split(sampled.preset, ' ')[2:], ' '), '') AS settings,
    sampled.n_seeds AS seeds,
    round(sampled.recall, 4) AS recall_10, round(sampled.ndcg, 4) AS ndcg_10,
    round(every.recall, 4) AS full_recall_10, round(every.ndcg, 4) AS full_ndcg_10,
    paper.recall_10 AS paper_recall_10, paper.ndcg_10 AS paper_ndcg_10,
    nullif(concat_ws('; ', sampled.warnings, CASE WHEN every.warnings IS DISTINCT FROM sampled.warnings
        THEN 'full: ' || every.warnings END), '') AS warnings
FROM board AS sampled
JOIN board AS every USING (snapshot_id, preset, model)
LEFT JOIN mart.models AS models USING (model)
LEFT JOIN mart.paper_results AS paper
    ON sampled.dataset = 'ml-1m' AND paper.model = sampled.model AND paper.retention = sampled.retention
WHERE sampled.protocol = 'uniform_100' AND every.protocol = 'full'
ORDER BY sampled.retention, models.rung NULLS FIRST, sampled.preset
