-- Every model and popularity, which each must beat: test metrics at 10, mean over seeds.
SELECT
    dataset, retention, preset, model, seeds,
    recall_10 AS "Recall@10 of 100", ndcg_10 AS "NDCG@10 of 100",
    full_recall_10 AS "Recall@10 of all", full_ndcg_10 AS "NDCG@10 of all",
    ndcg_10 > max(ndcg_10) FILTER (model = 'popularity') OVER board AS "above popularity",
    users, warnings
FROM leaderboard
WINDOW board AS (PARTITION BY dataset, retention, preset)
ORDER BY dataset, retention, preset, ndcg_10 DESC, model
