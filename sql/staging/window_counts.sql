-- Windows read and imported.
SELECT count(*) AS rows_read, count(*) FILTER (WHERE reason IS NULL) AS rows_imported FROM parsed;
