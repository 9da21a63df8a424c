-- Does each model beat the best simple one, and each rung of the ladder the one below? On test, paired over users.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $protocol = uniform_100: among 100 sampled items; full: among all
-- first: `fpt run` with two models
WITH beside AS (
    SELECT
        compared.*, dataset, retention, models.display_name AS variant, below.display_name AS below,
        models.rung AS rung, below.rung AS rung_below, rungs.model IS NOT NULL AS is_rung,
        bool_or(best_simple) OVER (PARTITION BY snapshot_id, preset) AS has_simple,
        bool_or(rungs.model IS NOT NULL OR turned.model IS NOT NULL) OVER (PARTITION BY snapshot_id, preset, compared.model) AS on_ladder,
        bool_or(rungs.model IS NOT NULL OR turned.model IS NOT NULL) OVER (PARTITION BY snapshot_id, preset, compared.baseline) AS below_on_ladder
    FROM mart.significance AS compared
    JOIN mart.boards USING (snapshot_id, preset)
    JOIN mart.models AS models ON models.model = compared.model
    JOIN mart.models AS below ON below.model = compared.baseline
    LEFT JOIN mart.rungs AS rungs ON rungs.model = compared.model AND rungs.baseline = compared.baseline
    LEFT JOIN mart.rungs AS turned ON turned.model = compared.baseline AND turned.baseline = compared.model
    WHERE split = 'test' AND protocol = $protocol
        AND ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR preset = $preset)
)
SELECT
    dataset, retention, preset, variant, below AS baseline, best_simple, metric,
    round(difference, 4) AS difference, round(low, 4) AS low, round(high, 4) AS high, verdict,
    round(CASE WHEN is_rung AND dataset = 'ml-1m' AND protocol = 'uniform_100' THEN
        CASE metric WHEN 'recall_10' THEN above.recall_10 - under.recall_10
                    WHEN 'ndcg_10' THEN above.ndcg_10 - under.ndcg_10 END
    END, 4) AS paper_difference, n_users AS users, n_seeds AS seeds
FROM beside
LEFT JOIN (SELECT model, retention, recall_10, ndcg_10 FROM mart.paper_results) AS above USING (model, retention)
LEFT JOIN (SELECT model AS baseline, retention, recall_10, ndcg_10 FROM mart.paper_results) AS under USING (baseline, retention)
-- who is on no ladder, where there is no simple model, is compared with all others, each two once
WHERE best_simple OR is_rung
    OR NOT has_simple AND NOT on_ladder AND (below_on_ladder OR (rung, model) > (rung_below, baseline))
ORDER BY dataset, retention, preset, rung, variant, best_simple DESC, rung_below DESC, below, metric
