-- Remove the windows of demand of a trace.
-- @param trace_id  the trace
DELETE FROM demand_window WHERE trace_id = $trace_id;
