WITH targets AS (
    SELECT
        held.snapshot_id, held.user_id, held.split,
        CASE WHEN users.n_train < 5 THEN '1: under 5' WHEN users.n_train < 20 THEN '2: 5 to 19'
             WHEN users.n_train < 50 THEN '3: 20 to 49' WHEN users.n_train < 200 THEN '4: 50 to 199'
             ELSE '5: 200 and more' END AS history,
        CASE WHEN items.n_train = 0 THEN '1: never' WHEN items.n_train < 5 THEN '2: under 5'
             WHEN items.n_train < 50 THEN '3: 5 to 49' WHEN items.n_train < 500 THEN '4: 50 to 499'
             ELSE '5: 500 and more' END AS popularity,
        CASE WHEN held.week BETWEEN 10 AND 22 THEN '2: spring' WHEN held.week BETWEEN 23 AND 35 THEN '3: summer'
             WHEN held.week BETWEEN 36 AND 48 THEN '4: autumn' ELSE '1: winter' END AS season
    FROM core.interactions AS held
    JOIN core.users AS users USING (snapshot_id, user_id)
    JOIN core.items AS items USING (snapshot_id, item_id)
    WHERE held.split <> 'train'
), long AS (
    UNPIVOT targets ON history, popularity, season INTO NAME slice VALUE bucket
)
SELECT
    run_id, model, preset, seed, snapshot_id, split, protocol, slice, bucket,
    avg(CASE WHEN rank <= 10 THEN 1.0 ELSE 0.0 END) AS recall_10,
    avg(CASE WHEN rank <= 10 THEN 1.0 / log2(rank::DOUBLE + 1.0) ELSE 0.0 END) AS ndcg_10,
    avg(CASE WHEN rank <= 10 THEN 1.0 / rank::DOUBLE ELSE 0.0 END) AS mrr_10,
    count(*) AS n_users
FROM mart.user_ranks
JOIN (SELECT * FROM mart.training_runs WHERE status = 'published') USING (run_id)
JOIN long USING (snapshot_id, user_id, split)
GROUP BY ALL
