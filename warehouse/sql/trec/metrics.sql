-- $depth, $known_to (null: all). Our NDCG@10, null where a list ends before; and that of the files, in
-- which users between two places stand at the later one, and who stands below the last line is a miss.
SELECT
    count(*) AS users,
    count(*) FILTER (isfinite(rank) AND rank <> floor(rank)) AS between_places,
    CASE WHEN coalesce($known_to, 10) >= 10
         THEN avg(CASE WHEN rank <= 10 THEN 1 / log2(rank + 1) ELSE 0 END) END AS ndcg_10,
    CASE WHEN coalesce($known_to, 10) >= 10
         THEN avg(CASE WHEN rank <= least(10, $depth) THEN 1 / log2(ceil(rank) + 1) ELSE 0 END)
    END AS ndcg_10_of_files
FROM ranks
