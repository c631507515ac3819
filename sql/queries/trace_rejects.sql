-- Rows refused on import, by reason, with the first location of each.
-- @public
-- @param trace_id  the trace
SELECT reason, count(*) AS rejected, arg_min(file, line) AS first_file, min(line) AS first_line
FROM import_reject
WHERE trace_id = $trace_id
GROUP BY reason
ORDER BY rejected DESC, reason;
