-- $1: split, $2: protocol
INSERT INTO mart.run_pairs BY NAME SELECT *, $1 AS split, $2 AS protocol FROM frame
