-- $1: how an id begins, $2: data set, $3: retention, $4: preset, $5: model's name or slug; empty for
-- any; $6: what counts no more as well. What has ranks and may be meant: by id anything, else what
-- counts in the leaderboard.
SELECT DISTINCT
    run_id, snapshot_id, runs.model, display_name, dataset, retention, runs.preset, runs.seed, known_to,
    coalesce(board.splits, ['valid', 'test']) AS splits
FROM mart.ranked_runs AS runs
JOIN (SELECT snapshot_id, load_id, retention FROM core.snapshots) USING (snapshot_id)
JOIN (SELECT load_id, dataset FROM raw.loads) USING (load_id)
LEFT JOIN (SELECT run_id, known_to FROM mart.imports) USING (run_id)
LEFT JOIN (SELECT DISTINCT run_id, splits FROM mart.board_runs) AS board USING (run_id)
LEFT JOIN (SELECT model, display_name FROM mart.models) AS models ON models.model = runs.model
WHERE starts_with(run_id, $1)
    AND ($1 <> '' OR $6 OR run_id IN (SELECT run_id FROM mart.board_runs SEMI JOIN mart.boards USING (snapshot_id, preset)))
    AND ($2 = '' OR dataset = $2)
    AND ($3 = '' OR retention = $3)
    AND ($4 = '' OR runs.preset = $4)
    AND ($5 = '' OR lower($5) IN (lower(runs.model), lower(display_name), replace(runs.model, '_', '-')))
ORDER BY dataset, retention, runs.preset, runs.model, runs.seed, run_id
