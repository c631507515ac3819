-- Windows read and imported.
SELECT
    count(*) AS rows_read,
    count(*) FILTER (WHERE reason IS NULL) AS rows_imported,
    count(*) FILTER (WHERE is_left_out(reason)) AS rows_left_out
FROM parsed;
