-- A trace's prefix blocks in the order of requests and prompts.
-- @param trace_id  the trace
SELECT request_seq, block_id
FROM request_block
WHERE trace_id = $trace_id
ORDER BY request_seq, block_index;
