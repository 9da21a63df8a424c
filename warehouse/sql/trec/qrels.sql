-- One relevant document for each user: the held-out item.
SELECT url_encode(user_key) AS query, 0 AS iteration, url_encode(item_key) AS document, 1 AS relevance
FROM ranks
ORDER BY user_id
