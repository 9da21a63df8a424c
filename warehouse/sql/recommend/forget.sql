-- frame: recommendations of one training, which replace those of the same users; $1: training
DELETE FROM mart.recommendations
WHERE run_id = $1 AND raw_user_id IN (SELECT raw_user_id FROM frame)
