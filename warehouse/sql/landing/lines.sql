-- Lines first, numbers later: `row_number()` over the file would hold everything after it to one
-- thread, while a table's rowid is the order of insertion and costs nothing.
CREATE OR REPLACE TEMP TABLE lines AS
SELECT line
FROM read_csv(
    $path, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '',
    hive_partitioning = false, header = false, auto_detect = false, new_line = '\n', max_line_size = 65536
)
