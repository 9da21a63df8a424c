-- One relevant document for each user: the held-out item.
SELECT url_encode(raw_user_id::VARCHAR) AS query, 0 AS iteration, url_encode(raw_item_id::VARCHAR) AS document, 1 AS relevance
FROM ranks
ORDER BY user_id
