-- What a later import of the name has ranks of is replaced, split by split: scores of validation
-- leave those of test where they are.
CREATE OR REPLACE VIEW mart.latest_imports AS
SELECT run_id, snapshot_id, name, known_to, list(split ORDER BY split DESC) AS splits
FROM (
    FROM (
        SELECT
            run_id, snapshot_id, name, known_to, publication,
            unnest(coalesce(splits, ['valid', 'test'])) AS split
        FROM mart.imports
    )
    QUALIFY row_number() OVER (
        PARTITION BY snapshot_id, name, split ORDER BY publication DESC, run_id
    ) = 1
)
GROUP BY run_id, snapshot_id, name, known_to;
COMMENT ON VIEW mart.latest_imports IS 'Of each snapshot, name and split the import that was published last: what is compared with ours.';
COMMENT ON COLUMN mart.latest_imports.run_id IS 'The import (mart.imports).';
COMMENT ON COLUMN mart.latest_imports.splits IS 'The splits in which no later one of its name has taken its place.';

-- An imported model has none of our presets, so it stands beside the trainings of each.
CREATE OR REPLACE VIEW mart.board_runs AS
SELECT run_id, snapshot_id, preset, model, seed, false AS imported, NULL::INTEGER AS known_to,
    ['valid', 'test', 'next'] AS splits
FROM mart.latest_runs
UNION ALL
SELECT run_id, snapshot_id, coalesce(preset, 'imported'), name, NULL, true, known_to, splits
FROM mart.latest_imports
LEFT JOIN (SELECT DISTINCT snapshot_id, preset FROM mart.latest_runs) USING (snapshot_id);
COMMENT ON VIEW mart.board_runs IS 'What stands beside each other: of each snapshot and preset the trainings that count, and the imported models, which stand beside those of every preset.';
COMMENT ON COLUMN mart.board_runs.preset IS 'Named settings of the trainings; imported, where there are none.';
COMMENT ON COLUMN mart.board_runs.model IS 'Slug of the variant; of an imported model its name.';
COMMENT ON COLUMN mart.board_runs.splits IS 'The splits whose figures count: of an import those in which no later one of its name has taken its place.';

CREATE OR REPLACE VIEW mart.ranked_runs AS
SELECT run_id, snapshot_id, model, preset, seed, false AS imported
FROM mart.training_runs
WHERE status = 'published'
UNION ALL
SELECT run_id, snapshot_id, name, 'imported', NULL, true FROM mart.imports;
COMMENT ON VIEW mart.ranked_runs IS 'All that has ranks and figures: published trainings and imported models.';
COMMENT ON COLUMN mart.ranked_runs.model IS 'Slug of the variant; of an imported model its name.';
COMMENT ON COLUMN mart.ranked_runs.preset IS 'Named settings it started from; imported, where there are none.';
