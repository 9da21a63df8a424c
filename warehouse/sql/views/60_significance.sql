-- For each user the mean over seeds of each model's score, then the paired difference. Two things
-- could have come out otherwise: who was asked (users), and how training went (seeds of both models).
-- All of it follows from runs two by two: the mean squared distance of two groups' means is that of
-- one's members from the other's, less half of that among the members of each.
CREATE OR REPLACE VIEW mart.significance AS
WITH sums AS (
    -- of each two models over their runs, and of each model over its own, where a run meets itself
    SELECT
        a.snapshot_id, a.preset, split, protocol, metric,
        least(a.model, b.model) AS model, greatest(a.model, b.model) AS baseline,
        sum(CASE WHEN a.model <= b.model THEN difference ELSE -difference END)::DOUBLE
            / count(*) / any_value(n_users) AS difference,
        sum((difference::DOUBLE / n_users) ** 2) AS differences_squared, sum(squares) AS squares,
        count(*) AS n_pairs, count(*) FILTER (run_id = other_id) AS n, any_value(n_users) AS n_users
    FROM mart.run_pairs
    JOIN mart.board_runs AS a USING (run_id)
    JOIN mart.board_runs AS b ON b.run_id = other_id AND b.preset = a.preset AND b.snapshot_id = a.snapshot_id
    WHERE list_contains(a.splits, split) AND list_contains(b.splits, split)
    GROUP BY ALL
), seeds AS (
    -- How much seeds differ beyond what single users' ups and downs between them explain, which
    -- are in the users' part already: a component of variance, never below zero.
    SELECT
        snapshot_id, preset, split, protocol, metric, model, n, n_users,
        differences_squared / nullif(n * (n - 1), 0) AS spread,
        squares::DOUBLE / nullif(n * (n - 1), 0) / n_users / nullif(n_users - 1, 0) AS explained,
        squares AS within
    FROM sums
    WHERE model = baseline
), parts AS (
    SELECT
        seeds.*, coalesce(greatest(spread - explained, 0) / n, 0) AS variance,
        coalesce(is_simple, FALSE) AS is_simple
    FROM seeds LEFT JOIN mart.models USING (model)
), compared AS (
    SELECT
        snapshot_id, preset, split, protocol, metric, sums.model, baseline, sums.difference,
        sums.n_users AS n,
        -- of equal numbers of seeds the sums are decimals to here: nothing of nearly equal models is lost
        greatest(CASE WHEN a.n = b.n THEN (squares - a.within - b.within)::DOUBLE / n_pairs
                      ELSE squares::DOUBLE / n_pairs - a.within::DOUBLE / a.n ** 2 - b.within::DOUBLE / b.n ** 2
                 END, 0) / nullif(sums.n_users - 1, 0) / sums.n_users AS variance
    FROM sums
    JOIN seeds AS a USING (snapshot_id, preset, split, protocol, metric, model)
    JOIN seeds AS b USING (snapshot_id, preset, split, protocol, metric)
    WHERE b.model = sums.baseline AND sums.model <> sums.baseline
), users AS (
    FROM compared
    UNION ALL BY NAME
    SELECT * REPLACE (baseline AS model, model AS baseline, 0 - difference AS difference) FROM compared
), best_simple AS (
    SELECT snapshot_id, preset, model AS baseline
    FROM mart.run_metrics
    JOIN mart.latest_runs USING (run_id)
    JOIN mart.models USING (model)
    WHERE is_simple AND split = 'valid' AND protocol = 'full' AND k = 10
    GROUP BY snapshot_id, preset, model
    QUALIFY row_number() OVER (PARTITION BY snapshot_id, preset ORDER BY avg(ndcg) DESC, model) = 1
), errors AS (
    SELECT
        snapshot_id, preset, split, protocol, metric, users.model, baseline, difference,
        sqrt(users.variance) AS user_error,
        -- nothing in a simple model is random: its one seed is known to be all there is
        CASE WHEN (a.n > 1 OR a.is_simple) AND (b.n > 1 OR b.is_simple)
             THEN sqrt(a.variance + b.variance) END AS seed_error,
        users.variance + a.variance + b.variance AS total,
        -- Welch and Satterthwaite: the degrees of freedom of a sum of variances
        total ** 2 / nullif(
            users.variance ** 2 / (users.n - 1)
            + coalesce(a.variance ** 2 / nullif(a.n - 1, 0), 0)
            + coalesce(b.variance ** 2 / nullif(b.n - 1, 0), 0), 0
        ) AS freedom,
        users.n AS n_users,
        coalesce(
            least(
                CASE WHEN NOT a.is_simple THEN a.n END, CASE WHEN NOT b.is_simple THEN b.n END
            ), 1
        ) AS n_seeds
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
    sqrt(total) AS standard_error, user_error, seed_error, n_users, n_seeds,
    best_simple.baseline IS NOT NULL AS best_simple
FROM intervals
LEFT JOIN best_simple USING (snapshot_id, preset, baseline);
COMMENT ON VIEW mart.significance IS 'Does one model beat another, and by how much? Paired over users, averaged over seeds, with 95 % intervals that cover the choice of users and, from two seeds on, of seeds.';
COMMENT ON COLUMN mart.significance.model IS 'Slug of the variant in question.';
COMMENT ON COLUMN mart.significance.standard_error IS 'Standard error of the difference, over users and seeds.';
COMMENT ON COLUMN mart.significance.user_error IS 'The part of it that comes from the choice of users, and from each user''s ups and downs between seeds.';
COMMENT ON COLUMN mart.significance.seed_error IS 'The part of it that comes from whole trainings'' being better or worse, beyond that; null when a neural model has one seed, and then not covered.';
COMMENT ON COLUMN mart.significance.n_users IS 'Users paired.';
COMMENT ON COLUMN mart.significance.n_seeds IS 'Seeds of the neural model that has fewer; 1 where both are simple.';
COMMENT ON COLUMN mart.significance.best_simple IS 'Whether the baseline is the simple model that is best on validation, by NDCG@10 among all items: what a model has to beat.';
