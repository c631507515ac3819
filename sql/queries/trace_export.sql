-- A trace's requests for export, in arrival order, with class, sample weight and prefix blocks.
-- @param trace_id  the trace
WITH block AS (
    SELECT request_seq, list(block_id ORDER BY block_index) AS block_ids
    FROM request_block
    WHERE trace_id = $trace_id
    GROUP BY request_seq
)

SELECT
    make_timestamptz(request.arrival_us) AS arrival,
    request.input_tokens,
    request.cached_input_tokens,
    request.output_tokens,
    request_class.class,
    request.session_id,
    block.block_ids,
    trace.sample_weight,
    trace.block_tokens
FROM request
JOIN trace ON trace.trace_id = request.trace_id
LEFT JOIN request_class ON request_class.trace_id = request.trace_id AND request_class.class_id = request.class_id
LEFT JOIN block ON block.request_seq = request.request_seq
WHERE request.trace_id = $trace_id
ORDER BY request.arrival_us, request.request_seq;
