-- The rows that count, by the snapshot's ids, with what is asked of each.
CREATE TABLE scored AS
SELECT split, user_id, item_id, score
FROM given
JOIN user_keys ON given_user = user_key
JOIN item_keys ON given_item = item_key
WHERE evaluated AND item_id IS NOT NULL
