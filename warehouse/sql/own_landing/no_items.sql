-- of a description without a file of items
CREATE TEMP TABLE own_items AS
SELECT
    NULL::BIGINT AS source_row, NULL::VARCHAR AS item_key, NULL::VARCHAR AS title,
    NULL::VARCHAR AS categories, NULL::VARCHAR AS reason, NULL::VARCHAR AS line
WHERE false
