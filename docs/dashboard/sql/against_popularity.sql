-- NDCG@10 of every model and of popularity, a row for each way of ranking, as bars want it.
SELECT
    dataset || ', ' || retention || ', ' || preset AS data, model,
    CASE protocol WHEN 'ndcg_10' THEN '100 sampled items' ELSE 'all items' END AS among, ndcg
FROM (UNPIVOT leaderboard ON ndcg_10, full_ndcg_10 INTO NAME protocol VALUE ndcg)
ORDER BY data, among, ndcg DESC, model
