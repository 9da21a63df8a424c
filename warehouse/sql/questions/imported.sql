-- $1: import. Its figures at 10; of lists that end before, at the last cut-off that is known.
WITH cut AS (
    SELECT run_id, kind, known_to, max(k) AS k
    FROM mart.imports, (SELECT unnest([1, 5, 10]) AS k)
    WHERE run_id = $1 AND k <= coalesce(known_to, 10)
    GROUP BY ALL
)
SELECT
    display_name AS model, data, retention, kind, split, protocol, k,
    round(recall, 4) AS recall, round(ndcg, 4) AS ndcg, round(mrr, 4) AS mrr,
    n_users AS users, known_to, warnings, run_id
FROM mart.metrics
JOIN cut USING (run_id, k)
ORDER BY split, protocol DESC
