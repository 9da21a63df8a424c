-- 60 users, 40 items, 6 to 8 interactions each: a 5-core. Across New Year, so that ISO week 53 occurs.
INSERT INTO raw.ratings
SELECT 'load', row_number() OVER (ORDER BY u, p), u * 10, ((u * 7 + p * 5) % 40 + 1) * 3,
       0.5 * (1 + (u + p) % 10),
       1608500000 + u * 40000 + (1 + u % 2) * [0, 60, 60, 180, 300, 300, 600, 900][p]
FROM range(1, 61) AS users (u), range(1, 9) AS places (p)
WHERE p <= 6 + u % 3;

INSERT INTO raw.items SELECT 'load', i * 3, 'Title ' || i || ' (1995)', 'Drama' FROM range(1, 41) AS t (i);
INSERT INTO raw.users SELECT 'load', u * 10, 'F', '25', '1' FROM range(1, 61) AS t (u);
INSERT INTO raw.user_keys SELECT 'load', u * 10, printf('user %04d', u) FROM range(1, 61) AS t (u);
INSERT INTO raw.item_keys SELECT 'load', i * 3, printf('item %04d', i) FROM range(1, 41) AS t (i);

INSERT INTO core.interactions
SELECT 'snapshot', user_id, raw_item_id // 3, rating, timestamp, position,
       CASE length - position WHEN 0 THEN 'test' WHEN 1 THEN 'valid' ELSE 'train' END,
       gap // (60 * (1 + user_id % 2)),
       least(52, weekofyear(make_timestamp(timestamp * 1000000)))
FROM (
    SELECT *, raw_user_id // 10 AS user_id,
           row_number() OVER history AS position,
           count(*) OVER (PARTITION BY raw_user_id) AS length,
           timestamp - lag(timestamp) OVER history AS gap
    FROM raw.ratings
    WINDOW history AS (PARTITION BY raw_user_id ORDER BY timestamp, source_row)
);

INSERT INTO core.items
SELECT 'snapshot', item_id, item_id * 3, 'Title ' || item_id, 'Drama', count(*) FILTER (split = 'train')
FROM core.interactions GROUP BY item_id;
INSERT INTO core.users
SELECT 'snapshot', user_id, user_id * 10, count(*), count(*) - 2, 60 * (1 + user_id % 2)
FROM core.interactions GROUP BY user_id;

INSERT INTO core.candidates
SELECT 'snapshot', split, user_id, list(item_id ORDER BY item_id)
FROM (SELECT user_id, item_id FROM core.users, core.items)
     ANTI JOIN core.interactions USING (user_id, item_id),
     (VALUES ('valid'), ('test')) AS splits (split)
GROUP BY split, user_id;

CREATE TABLE core.sequences AS
SELECT user_id, list(item_id ORDER BY position) AS item_ids,
       list(timestamp ORDER BY position) AS timestamps, list(week ORDER BY position) AS weeks,
       list(CAST(2 * rating AS TINYINT) ORDER BY position) AS ratings,
       CAST(count(*) - 2 AS INTEGER) AS n_train, CAST(60 * (1 + user_id % 2) AS BIGINT) AS time_scale,
       any_value(item_ids) AS valid_candidates, any_value(item_ids) AS test_candidates
FROM core.interactions
JOIN (SELECT user_id, item_ids FROM core.candidates WHERE split = 'test') USING (user_id)
GROUP BY user_id;
CREATE TABLE core.sequence_genres AS SELECT item_id, ['Drama'] AS genres FROM core.items;

INSERT INTO mart.user_ranks
SELECT 'run', split, protocol, user_id, 1 + 0.5 * ((user_id * 7) % 40), 40 - n_interactions + 1
FROM core.users, (VALUES ('valid'), ('test')) AS splits (split),
     (VALUES ('uniform_100'), ('full')) AS protocols (protocol);

-- Who ranks below 11 has the held-out item first; the others are not listed.
INSERT INTO mart.top_lists
SELECT 'run', user_id, row_number() OVER (PARTITION BY user_id ORDER BY own DESC, item_id), item_id
FROM (
    SELECT users.user_id, items.item_id, held.item_id IS NOT NULL AND rank < 11 AS own, rank
    FROM core.users AS users CROSS JOIN core.items AS items
    JOIN (SELECT user_id, rank FROM mart.user_ranks WHERE split = 'test' AND protocol = 'full')
        USING (user_id)
    LEFT JOIN (SELECT * FROM core.interactions WHERE split = 'test') AS held
        ON held.user_id = users.user_id AND held.item_id = items.item_id
    LEFT JOIN (SELECT * FROM core.interactions WHERE split <> 'test') AS had
        ON had.user_id = users.user_id AND had.item_id = items.item_id
    WHERE had.item_id IS NULL
)
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY own DESC, item_id) <= 20;

-- Each user comes back for an item that they have not had; user 60 for one that nobody had.
INSERT INTO mart.next_targets
SELECT 'snapshot', user_id, CASE WHEN user_id = 60 THEN 999 ELSE item_id * 3 END,
       CASE WHEN user_id <> 60 THEN item_id END, 1650000000, 1000
FROM (
    SELECT user_id, min(item_id) AS item_id
    FROM (SELECT user_id, item_id FROM core.users, core.items)
         ANTI JOIN core.interactions USING (user_id, item_id)
    GROUP BY user_id
);
INSERT INTO mart.next_ranks
SELECT 'run', protocol, user_id, 1 + 0.5 * ((user_id * 7) % 40), 40 - n_interactions
FROM core.users, (VALUES ('uniform_100'), ('full')) AS protocols (protocol)
WHERE user_id <> 60;

-- The file that these are ranked from: as core.sequences, what came next at the end.
CREATE TABLE core.ahead AS
SELECT user_id, item_ids || if(item_id IS NULL, [], [item_id]) AS item_ids,
       timestamps || if(item_id IS NULL, [], [timestamp]) AS timestamps,
       weeks || if(item_id IS NULL, [], [CAST(15 AS TINYINT)]) AS weeks,
       ratings || if(item_id IS NULL, [], [CAST(8 AS TINYINT)]) AS ratings,
       CAST(len(sequences.item_ids) - if(item_id IS NULL, 0, 1) AS INTEGER) AS n_train, time_scale,
       CAST([] AS INTEGER[]) AS valid_candidates,
       list_filter(test_candidates, lambda item: item IS DISTINCT FROM item_id) AS test_candidates
FROM core.sequences LEFT JOIN mart.next_targets USING (user_id);
