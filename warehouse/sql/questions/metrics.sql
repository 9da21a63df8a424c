-- $1: snapshots, $2: presets. What was changed by hand stands behind a preset's name. Popularity
-- first: what every model must beat.
WITH board AS (
    -- an imported model has no settings of ours: beside several presets it stands once
    SELECT DISTINCT
        data, retention, dataset, snapshot_id, model, display_name,
        CASE WHEN imported THEN '' ELSE preset END AS preset, protocol, n_seeds, recall, ndcg, warnings
    FROM mart.leaderboard
    WHERE snapshot_id IN (SELECT unnest($1::VARCHAR[])) AND preset IN (SELECT unnest($2::VARCHAR[]))
        AND split = 'test' AND k = 10
    UNION ALL BY NAME
    SELECT DISTINCT
        data, retention, dataset, snapshot_id, 'popularity' AS model, 'popularity' AS display_name,
        '' AS preset, protocol, recall, ndcg
    FROM mart.popularity_metrics
    JOIN mart.lineage USING (snapshot_id)
    WHERE snapshot_id IN (SELECT unnest($1::VARCHAR[])) AND split = 'test' AND k = 10
)
-- an imported model may be ranked among one kind alone
SELECT
    data, board.retention, display_name AS model,
    nullif(array_to_string(string_split(preset, ' ')[2:], ' '), '') AS settings,
    any_value(n_seeds) AS seeds,
    round(max(recall) FILTER (protocol = 'uniform_100'), 4) AS recall_10,
    round(max(ndcg) FILTER (protocol = 'uniform_100'), 4) AS ndcg_10,
    round(max(recall) FILTER (protocol = 'full'), 4) AS full_recall_10,
    round(max(ndcg) FILTER (protocol = 'full'), 4) AS full_ndcg_10,
    paper.recall_10 AS paper_recall_10, paper.ndcg_10 AS paper_ndcg_10,
    nullif(concat_ws('; ',
        max(warnings) FILTER (protocol = 'uniform_100'),
        CASE WHEN max(warnings) FILTER (protocol = 'full') IS DISTINCT FROM max(warnings) FILTER (protocol = 'uniform_100')
            THEN 'full: ' || max(warnings) FILTER (protocol = 'full') END), '') AS warnings
FROM board
LEFT JOIN (SELECT model, rung FROM mart.models) AS models ON models.model = board.model
LEFT JOIN mart.paper_results AS paper
    ON dataset = 'ml-1m' AND paper.model = board.model AND paper.retention = board.retention
GROUP BY
    data, board.retention, display_name, snapshot_id, board.model, preset, rung, paper.recall_10, paper.ndcg_10
ORDER BY board.retention, rung NULLS FIRST, preset, board.model
