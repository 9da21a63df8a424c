-- Test metrics at 10 of every variant, mean and standard deviation over seeds, best first.
SELECT
    data, retention, as_of, preset, display_name AS model, protocol, n_seeds AS seeds,
    round(recall, 4) AS recall_10, round(recall_sd, 4) AS recall_sd,
    round(ndcg, 4) AS ndcg_10, round(ndcg_sd, 4) AS ndcg_sd, round(mrr, 4) AS mrr_10,
    warnings
FROM mart.leaderboard
WHERE split = 'test' AND k = 10
ORDER BY data, retention, as_of NULLS FIRST, preset, protocol DESC, ndcg DESC, model
