-- $1: snapshot; frame: what came next
INSERT INTO mart.next_targets BY NAME
SELECT $1 AS snapshot_id, user_id, raw_item_id, item_id, timestamp, waited_seconds FROM frame
