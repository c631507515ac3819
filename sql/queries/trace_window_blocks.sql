-- A trace's requests in a time window, in order of arrival, each with its prefix blocks.
-- @param trace_id  the trace
-- @param start_us  first microsecond of the window, since the epoch
-- @param end_us  first microsecond after it
SELECT
    request.arrival_us,
    request.input_tokens,
    coalesce(request.cached_input_tokens, 0) AS cached_input_tokens,
    request.output_tokens,
    request.class_id,
    coalesce(request.session_id, -1) AS session_id,
    coalesce(chain.block_ids, []) AS block_ids
FROM request
LEFT JOIN (
    SELECT request_seq, list(block_id ORDER BY block_index) AS block_ids
    FROM request_block
    WHERE trace_id = $trace_id
    GROUP BY request_seq
) AS chain ON chain.request_seq = request.request_seq
WHERE request.trace_id = $trace_id AND request.arrival_us >= $start_us AND request.arrival_us < $end_us
ORDER BY request.arrival_us, request.request_seq;
