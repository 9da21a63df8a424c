-- $1: snapshot, $2: trainings of it, whose lists are in `listed`; `held_out`: parts of users, of
-- figures/users.sql. What the lists for test users are made of, by part of the users. Rounded, as
-- sums of several threads differ in the last digits.
WITH trained AS (
    SELECT user_id, item_id FROM core.interactions WHERE snapshot_id = $1 AND split = 'train'
), seen AS (
    SELECT item_id, count(DISTINCT user_id) AS n FROM trained GROUP BY item_id
), everybody AS (
    SELECT count(DISTINCT user_id) AS n FROM trained
), items AS (
    SELECT
        item_id, coalesce(seen.n, 0) / everybody.n AS share,
        -- of what training never saw as if one user had it: the logarithm of nothing is no number
        -log2(greatest(coalesce(seen.n, 0), 1) / everybody.n) AS information
    FROM (SELECT item_id FROM core.items WHERE snapshot_id = $1)
    LEFT JOIN seen USING (item_id)
    CROSS JOIN everybody
), genres AS (
    SELECT item_id, unnest(string_split(genres, '|')) AS genre
    FROM core.items WHERE snapshot_id = $1 AND genres <> ''
), places AS (
    SELECT genre, row_number() OVER (ORDER BY genre) - 1 AS place, count(*) OVER () AS n
    FROM (SELECT DISTINCT genre FROM genres)
), kinds AS (  -- of each item its genres, as bits
    SELECT item_id, bit_or(set_bit(repeat('0', n::INTEGER)::BIT, place::INTEGER, 1)) AS bits
    FROM genres JOIN places USING (genre)
    GROUP BY item_id
), parts AS (
    SELECT user_id, unnest([
        {'slice': 'everybody', 'bucket': 'everybody'}, {'slice': 'history', 'bucket': history},
        {'slice': 'popularity', 'bucket': popularity}, {'slice': 'season', 'bucket': season}
    ], recursive := true)
    FROM held_out WHERE split = 'test'
), lists AS (
    SELECT run_id, user_id, rank, item_id, share, information, bits
    FROM listed
    JOIN items USING (item_id)
    LEFT JOIN kinds USING (item_id)
    WHERE run_id IN (SELECT unnest($2::VARCHAR[]))
), cuts AS (
    SELECT unnest([1, 5, 10, 20]) AS k
), apart AS (  -- of each place how far its item lies from those above it
    SELECT
        run_id, user_id, b.rank,
        sum(1 - bit_count(a.bits & b.bits) / bit_count(a.bits | b.bits)) AS distance, count(*) AS n
    FROM lists AS a
    JOIN lists AS b USING (run_id, user_id)
    WHERE a.rank < b.rank AND a.bits IS NOT NULL AND b.bits IS NOT NULL
    GROUP BY ALL
), diversity AS (
    SELECT run_id, user_id, k, sum(distance) / sum(n) AS diversity
    FROM apart JOIN cuts ON rank <= k
    GROUP BY ALL
), profiles AS (
    SELECT user_id, avg(share) AS share FROM trained JOIN items USING (item_id) GROUP BY user_id
), users AS (
    SELECT
        run_id, user_id, k, avg(information) AS novelty, avg(lists.share) AS popularity,
        any_value(profiles.share) AS profile
    FROM lists
    JOIN cuts ON rank <= k
    LEFT JOIN profiles USING (user_id)
    GROUP BY ALL
), means AS (
    SELECT
        run_id, slice, bucket, k, favg(novelty) AS novelty, favg(popularity) AS popularity,
        favg(profile) AS profile_popularity, favg(diversity) AS diversity, count(*) AS n_users
    FROM users
    JOIN parts USING (user_id)
    LEFT JOIN diversity USING (run_id, user_id, k)
    GROUP BY ALL
), exposed AS (
    UNPIVOT (
        SELECT
            run_id, slice, bucket, item_id, count(*) FILTER (rank <= 1) AS "1",
            count(*) FILTER (rank <= 5) AS "5", count(*) FILTER (rank <= 10) AS "10", count(*) AS "20"
        FROM lists JOIN parts USING (user_id)
        GROUP BY ALL
    ) ON "1", "5", "10", "20" INTO NAME k VALUE n
), ordered AS (
    SELECT
        run_id, slice, bucket, k::INTEGER AS k, n, (SELECT count(*) FROM items) AS n_items,
        row_number() OVER (PARTITION BY run_id, slice, bucket, k ORDER BY n DESC) AS place
    FROM exposed WHERE n > 0
), spread AS (
    SELECT
        run_id, slice, bucket, k, count(*) / any_value(n_items) AS coverage,
        -- those who are never listed stand below them and add nothing to the sum
        sum((n_items + 1 - 2 * place) * n) / (any_value(n_items) * sum(n)) AS gini
    FROM ordered GROUP BY ALL
)
SELECT
    run_id, k, slice, bucket, coverage, round(gini, 12) AS gini,
    round(novelty, 12) AS novelty, round(popularity, 12) AS popularity,
    round(profile_popularity, 12) AS profile_popularity,
    round(popularity / nullif(profile_popularity, 0) - 1, 12) AS popularity_lift,
    round(diversity, 12) AS diversity, n_users
FROM means JOIN spread USING (run_id, slice, bucket, k)
ORDER BY run_id, slice, bucket, k
