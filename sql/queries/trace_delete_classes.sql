-- Remove the classes of a trace.
-- @param trace_id  the trace
DELETE FROM request_class WHERE trace_id = $trace_id;
