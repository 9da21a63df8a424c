-- What the file looks like: each kind is that of a whole file, for every user of whom a rank is wanted.
SELECT
    count(*) AS n_users,
    count(*) FILTER (n_scored = 0) AS n_without,
    count(*) FILTER (has_target AND n_scored_unseen = n_unseen) AS n_all,
    count(*) FILTER (has_target AND n_scored_drawn = n_drawn) AS n_candidates,
    sum(n_scored_unseen)::BIGINT AS n_scored_unseen,
    sum(n_scored_drawn)::BIGINT AS n_scored_drawn,
    sum(n_unseen)::BIGINT AS n_unseen,
    sum(n_scored - n_scored_unseen - has_target::INTEGER)::BIGINT AS n_seen,
    count(*) FILTER (n_scored_drawn = n_drawn OR n_scored_unseen = n_unseen) AS n_whole,
    max(n_scored_unseen + has_target::INTEGER) AS longest,
    max(n_scored) AS most_rows, min(n_scored) FILTER (n_scored > 0) AS fewest_rows,
    min(n_scored_unseen) FILTER (NOT has_target AND n_scored > 0) AS known_to,
    count(*) FILTER (NOT has_target) AS n_misses
FROM places
