WITH scores AS (
    SELECT
        snapshot_id, preset, model, split, protocol, run_id, user_id,
        CASE WHEN rank <= 10 THEN 1.0::DOUBLE ELSE 0.0 END AS recall_10,
        CASE WHEN rank <= 10 THEN 1.0 / log2(rank::DOUBLE + 1.0) ELSE 0.0 END AS ndcg_10,
        CASE WHEN rank <= 10 THEN 1.0 / rank::DOUBLE ELSE 0.0 END AS mrr_10
    FROM mart.user_ranks
    JOIN mart.latest_runs USING (run_id)
), long AS (
    UNPIVOT scores ON recall_10, ndcg_10, mrr_10 INTO NAME metric VALUE score
), by_user AS (
    SELECT
        snapshot_id, preset, model, split, protocol, metric, user_id,
        avg(score) AS score, var_samp(score) AS spread
    FROM long
    GROUP BY ALL
), by_seed AS (
    SELECT snapshot_id, preset, model, split, protocol, metric, run_id, avg(score) AS score
    FROM long
    GROUP BY ALL
), means AS (
    SELECT snapshot_id, preset, model, split, protocol, metric, count(*) AS n, var_samp(score) AS spread
    FROM by_seed
    GROUP BY ALL
), seeds AS (
    -- How much seeds differ beyond what single users' ups and downs between them explain, which
    -- are in the users' part already: a component of variance, never below zero.
    SELECT
        snapshot_id, preset, model, split, protocol, metric, any_value(n) AS n,
        any_value(means.spread) AS spread,
        (avg(by_user.spread) - any_value(means.spread)) / nullif(count(*) - 1, 0) AS explained
    FROM by_user
    JOIN means USING (snapshot_id, preset, model, split, protocol, metric)
    GROUP BY ALL
), parts AS (
    SELECT *, coalesce(greatest(spread - explained, 0) / n, 0) AS variance FROM seeds
), users AS (
    SELECT
        snapshot_id, preset, split, protocol, metric, a.model AS model, b.model AS baseline,
        avg(a.score - b.score) AS difference,
        count(*) AS n, var_samp(a.score - b.score) / count(*) AS variance
    FROM by_user AS a
    JOIN by_user AS b USING (snapshot_id, preset, split, protocol, metric, user_id)
    WHERE a.model <> b.model
    GROUP BY ALL
), errors AS (
    SELECT
        snapshot_id, preset, split, protocol, metric, users.model, baseline, difference,
        sqrt(users.variance) AS user_error,
        CASE WHEN a.n > 1 AND b.n > 1 THEN sqrt(a.variance + b.variance) END AS seed_error,
        users.variance + a.variance + b.variance AS total,
        -- Welch and Satterthwaite: the degrees of freedom of a sum of variances
        total ** 2 / nullif(
            users.variance ** 2 / (users.n - 1)
            + coalesce(a.variance ** 2 / nullif(a.n - 1, 0), 0)
            + coalesce(b.variance ** 2 / nullif(b.n - 1, 0), 0), 0
        ) AS freedom,
        users.n AS n_users, least(a.n, b.n) AS n_seeds
    FROM users
    JOIN parts AS a USING (snapshot_id, preset, split, protocol, metric, model)
    JOIN parts AS b USING (snapshot_id, preset, split, protocol, metric)
    WHERE b.model = users.baseline
), intervals AS (
    -- half of Student's 95 % interval, by Cornish and Fisher's expansion of its quantile
    SELECT *, sqrt(total) * (
        1.95996 + coalesce(2.37227 / freedom + 2.82250 / freedom ** 2 + 2.55585 / freedom ** 3, 0)
    ) AS half
    FROM errors
)
SELECT
    snapshot_id, preset, model, baseline, split, protocol, metric, difference,
    difference - half AS low, difference + half AS high,
    CASE WHEN low > 0 THEN 'better' WHEN high < 0 THEN 'worse' ELSE 'undecided' END AS verdict,
    sqrt(total) AS standard_error, user_error, seed_error, n_users, n_seeds
FROM intervals
