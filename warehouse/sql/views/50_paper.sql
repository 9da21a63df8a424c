CREATE OR REPLACE VIEW mart.paper_results AS
SELECT model, retention, recall_10::DOUBLE AS recall_10, ndcg_10::DOUBLE AS ndcg_10 FROM (VALUES
    ('tisasrec', '5-core', 0.7881, 0.5505),
    ('tisasrec_plus', '5-core', 0.7894, 0.5550),
    ('tisasrec_plus_plus', '5-core', 0.8002, 0.5630),
    ('sas_fpt', '5-core', 0.8056, 0.5702),
    ('tisasrec', 'cold-start', 0.7998, 0.5645),
    ('sas_fpt', 'cold-start', 0.8030, 0.5778)
) AS paper (model, retention, recall_10, ndcg_10);
COMMENT ON VIEW mart.paper_results IS 'Tables 2 and 3 of the paper: MovieLens-1M, 100 uniform negatives, one run.';
COMMENT ON COLUMN mart.paper_results.retention IS '5-core (table 2) or cold-start (table 3).';
COMMENT ON COLUMN mart.paper_results.recall_10 IS 'Recall@10 as printed.';
COMMENT ON COLUMN mart.paper_results.ndcg_10 IS 'NDCG@10 as printed.';

CREATE OR REPLACE VIEW mart.paper_gap AS
SELECT
    paper.retention, paper.model, ours.display_name, ours.preset, ours.data, ours.n_seeds,
    paper.recall_10 AS paper_recall_10, ours.recall AS recall_10,
    ours.recall - paper.recall_10 AS recall_gap,
    paper.ndcg_10 AS paper_ndcg_10, ours.ndcg AS ndcg_10,
    ours.ndcg - paper.ndcg_10 AS ndcg_gap,
    recall_gap >= 0 AND ndcg_gap >= 0 AS reached
FROM mart.paper_results AS paper
JOIN mart.leaderboard AS ours
    ON ours.model = paper.model AND ours.retention = paper.retention
    AND ours.dataset = 'ml-1m' AND ours.split = 'test'
    AND ours.protocol = 'uniform_100' AND ours.k = 10 AND ours.as_of IS NULL;
COMMENT ON VIEW mart.paper_gap IS 'Ours beside the paper: MovieLens-1M, test, uniform_100, k = 10.';
COMMENT ON COLUMN mart.paper_gap.n_seeds IS 'Our trainings averaged over.';
COMMENT ON COLUMN mart.paper_gap.paper_recall_10 IS 'Recall@10 of the paper.';
COMMENT ON COLUMN mart.paper_gap.recall_10 IS 'Our mean Recall@10.';
COMMENT ON COLUMN mart.paper_gap.recall_gap IS 'Ours minus the paper''s.';
COMMENT ON COLUMN mart.paper_gap.paper_ndcg_10 IS 'NDCG@10 of the paper.';
COMMENT ON COLUMN mart.paper_gap.ndcg_10 IS 'Our mean NDCG@10.';
COMMENT ON COLUMN mart.paper_gap.ndcg_gap IS 'Ours minus the paper''s.';
COMMENT ON COLUMN mart.paper_gap.reached IS 'Whether both our means are at least the paper''s.';
