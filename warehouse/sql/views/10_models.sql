CREATE OR REPLACE VIEW mart.models AS
SELECT *, rung < 1 AS is_simple, false AS imported FROM (VALUES
    ('recent_popularity', 'Recent popularity', -6),
    ('bpr', 'BPR', -5),
    ('als', 'ALS', -4),
    ('item_knn', 'item-kNN', -3),
    ('ease', 'EASE^R', -2),
    ('markov_chain', 'Markov chain', -1),
    ('ridge', 'Ridge', 0),
    ('sasrec', 'SASRec', 1),
    ('sse_pt', 'SSE-PT', 2),
    ('tisasrec', 'TiSASRec', 3),
    ('tisasrec_plus', 'TiSASRec+', 4),
    ('tisasrec_plus_plus', 'TiSASRec++', 5),
    ('sas_fpt', 'SAS-FPT', 6),
    ('hstu', 'HSTU', 7)
) AS models (model, display_name, rung)
UNION ALL
SELECT DISTINCT name, name || ' (imported)', 8, false, true FROM mart.imports;
COMMENT ON VIEW mart.models IS 'The variants: neural ones by the names that the papers use, simple ones, which they must beat, and what was imported.';
COMMENT ON COLUMN mart.models.model IS 'Slug, as given to --model; of an imported model its name.';
COMMENT ON COLUMN mart.models.display_name IS 'Name in tables and figures; imported models are marked so.';
COMMENT ON COLUMN mart.models.rung IS 'Order in tables: simple models first, up to 0; from there on each of the paper''s rungs is the one below plus one idea; then HSTU, which is no rung; imported models last.';
COMMENT ON COLUMN mart.models.is_simple IS 'Whether it is a simple model: fitted in seconds, nothing in it random.';
COMMENT ON COLUMN mart.models.imported IS 'Whether it is somebody else''s, of which scores were imported (mart.imports): marked so in its name.';

CREATE OR REPLACE VIEW mart.rungs AS
SELECT * FROM (VALUES
    ('sse_pt', 'sasrec'),
    ('tisasrec', 'sasrec'),
    ('tisasrec_plus', 'tisasrec'),
    ('tisasrec_plus_plus', 'tisasrec_plus'),
    ('sas_fpt', 'tisasrec_plus_plus'),
    ('sas_fpt', 'tisasrec')
) AS rungs (model, baseline);
COMMENT ON VIEW mart.rungs IS 'The claims of the ladder: each variant against the one below, and SAS-FPT against TiSASRec.';
COMMENT ON COLUMN mart.rungs.model IS 'Slug of the variant that is claimed to be better.';
