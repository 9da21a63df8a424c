-- Our NDCG@10, and that of the files, in which users between two places stand at the later one.
SELECT
    count(*) AS users,
    count(*) FILTER (isfinite(rank) AND rank <> floor(rank)) AS between_places,
    avg(CASE WHEN rank <= 10 THEN 1 / log2(rank + 1) ELSE 0 END) AS ndcg_10,
    avg(CASE WHEN rank <= 10 THEN 1 / log2(ceil(rank) + 1) ELSE 0 END) AS ndcg_10_of_files
FROM ranks
