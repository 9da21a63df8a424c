-- frame: recommendations of one training; $1: training, $2: when
INSERT INTO mart.recommendations BY NAME
SELECT $1 AS run_id, raw_user_id, user_id, rank, item_id, score, $2 AS created_at FROM frame
