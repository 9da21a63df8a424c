-- Every model and popularity, which each must beat: test metrics at 10, mean over seeds.
SELECT
    dataset, retention, preset, model, seeds,
    round(recall_10, 4) AS "Recall@10 of 100", round(ndcg_10, 4) AS "NDCG@10 of 100",
    round(full_recall_10, 4) AS "Recall@10 of all", round(full_ndcg_10, 4) AS "NDCG@10 of all",
    ndcg_10 > max(ndcg_10) FILTER (model = 'popularity') OVER board AS "above popularity",
    users, warnings
FROM leaderboard
WINDOW board AS (PARTITION BY dataset, retention, preset)
ORDER BY dataset, retention, preset, ndcg_10 DESC, model
