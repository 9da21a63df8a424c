-- $load_id; $events, $items: names of the files; $forgotten: ids of users who are left out.
CREATE TEMP TABLE about AS
SELECT
    $load_id AS load_id, $events AS events_file, $items AS items_file,
    $forgotten::VARCHAR[] AS forgotten
