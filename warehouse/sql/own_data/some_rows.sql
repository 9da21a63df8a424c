-- some of the rows, evenly over all of them
CREATE OR REPLACE TEMP TABLE own_some AS
SELECT * FROM own_seen WHERE rowid % greatest(1, (SELECT count(*) FROM own_seen) // $1) = 0
