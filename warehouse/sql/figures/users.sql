-- $1: snapshot. Which part of each slice a user is in, by the item held out for each split.
SELECT
    held.split, held.user_id,
    CASE WHEN users.n_train < 5 THEN '1: under 5' WHEN users.n_train < 20 THEN '2: 5 to 19'
         WHEN users.n_train < 50 THEN '3: 20 to 49' WHEN users.n_train < 200 THEN '4: 50 to 199'
         ELSE '5: 200 and more' END AS history,
    CASE WHEN users.n_train < 5 THEN '1: under 5' WHEN users.n_train < 10 THEN '2: 5 to 9'
         WHEN users.n_train < 20 THEN '3: 10 to 19' ELSE '4: 20 and more' END AS short_history,
    CASE WHEN items.n_train = 0 THEN '1: never' WHEN items.n_train < 5 THEN '2: under 5'
         WHEN items.n_train < 50 THEN '3: 5 to 49' WHEN items.n_train < 500 THEN '4: 50 to 499'
         ELSE '5: 500 and more' END AS popularity,
    CASE WHEN held.week BETWEEN 10 AND 22 THEN '2: spring' WHEN held.week BETWEEN 23 AND 35 THEN '3: summer'
         WHEN held.week BETWEEN 36 AND 48 THEN '4: autumn' ELSE '1: winter' END AS season
FROM core.interactions AS held
JOIN core.users AS users ON users.snapshot_id = $1 AND users.user_id = held.user_id
JOIN core.items AS items ON items.snapshot_id = $1 AND items.item_id = held.item_id
WHERE held.snapshot_id = $1 AND held.split <> 'train'
