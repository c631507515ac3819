-- Windows read and imported.
SELECT
    count(*) AS rows_read,
    count(*) FILTER (WHERE reason IS NULL) AS rows_imported,
    count(*) FILTER (WHERE is_left_out(reason)) AS rows_left_out,
    count(*) FILTER (WHERE reason IS NULL AND cached_lies IS NULL AND (cached_input_tokens > 0 OR written_tokens > 0)) AS untold,
    count(*) FILTER (WHERE reason IS NULL AND (cached_input_tokens IS NOT NULL OR written_tokens IS NOT NULL)) AS with_cached
FROM parsed;
