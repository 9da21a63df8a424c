-- $1: trainings, $2: split, $3: protocol. Places in the list of trainings stand for their ids:
-- handed over as text, ten million of them take five times as long.
SELECT place, user_id, rank, n_candidates
FROM mart.user_ranks
JOIN (
    SELECT unnest($1::VARCHAR[]) AS run_id, unnest(range(len($1::VARCHAR[])))::INTEGER AS place
) USING (run_id)
WHERE split = $2 AND protocol = $3
