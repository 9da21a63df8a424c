-- frame: new recommendations of one training; $1: training. Those of other users, which stay.
SELECT * EXCLUDE (run_id) FROM mart.recommendations
WHERE run_id = $1 AND raw_user_id NOT IN (SELECT raw_user_id FROM frame)
