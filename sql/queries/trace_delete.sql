-- Remove a trace from the catalogue.
-- @param trace_id  the trace
DELETE FROM trace WHERE trace_id = $trace_id;
