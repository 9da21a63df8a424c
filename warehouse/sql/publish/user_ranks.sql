INSERT INTO mart.user_ranks BY NAME
SELECT $1 AS run_id, split, protocol, user_id, rank, n_candidates FROM read_parquet($2)
