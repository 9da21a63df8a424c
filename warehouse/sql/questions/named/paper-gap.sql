-- Ours beside both tables of the paper, and the difference (MovieLens-1M).
-- $preset = all: named settings of the trainings
-- first: `fpt run --dataset ml-1m --preset paper`
SELECT
    retention, display_name AS model, preset, data, n_seeds AS seeds,
    paper_recall_10, round(recall_10, 4) AS recall_10, round(recall_gap, 4) AS recall_gap,
    paper_ndcg_10, round(ndcg_10, 4) AS ndcg_10, round(ndcg_gap, 4) AS ndcg_gap
FROM mart.paper_gap
JOIN mart.models USING (model, display_name)
WHERE ($preset IS NULL OR preset = $preset)
ORDER BY retention, preset, data, rung
