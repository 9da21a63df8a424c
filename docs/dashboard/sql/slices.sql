-- Who is served well: test metrics at 10 by length of the history, popularity of the item and season.
SELECT
    dataset || ', ' || retention || ', ' || preset AS data, model,
    CASE slice WHEN 'history' THEN 'interactions of the user' WHEN 'popularity' THEN 'interactions of the item'
        ELSE 'season' END AS slice,
    bucket, ndcg_10, full_ndcg_10, recall_10, full_recall_10, users, seeds
FROM slices
ORDER BY data, slice, bucket, model
