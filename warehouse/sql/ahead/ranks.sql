-- $1: run, $2: its file
INSERT INTO mart.next_ranks BY NAME
SELECT $1 AS run_id, protocol, user_id, rank, n_candidates FROM read_parquet($2)
