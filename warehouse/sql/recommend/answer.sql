-- asked: who was asked about; answer: what the model said, row by row; $1: snapshot
SELECT asked.raw_user_id, asked.user_id, answer.* EXCLUDE (asked, row), raw_item_id, title, genres
FROM answer
JOIN asked USING (asked)
JOIN core.items AS items ON items.snapshot_id = $1 AND items.item_id = answer.item_id
ORDER BY row
