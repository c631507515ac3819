-- Remove the rejects of a trace.
-- @param trace_id  the trace
DELETE FROM import_reject WHERE trace_id = $trace_id;
