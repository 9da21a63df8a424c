-- $1: trainings, $2: splits, $3: protocols, as long. Places in the lists stand for names: handed over
-- as text, ten million ranks take five times as long.
SELECT place, part, user_id, rank, n_candidates
FROM mart.user_ranks
JOIN (
    SELECT unnest($1::VARCHAR[]) AS run_id, unnest(range(len($1::VARCHAR[])))::INTEGER AS place
) USING (run_id)
JOIN (
    SELECT
        unnest($2::VARCHAR[]) AS split, unnest($3::VARCHAR[]) AS protocol,
        unnest(range(len($2::VARCHAR[])))::TINYINT AS part
) USING (split, protocol)
