-- Activity of units in a replay, minute by minute, warm-up and cool-down included.
-- @public
-- @param run_id  the run
SELECT
    minute_start,
    prefill_queue_us / 60e6 AS prefill_queue_requests,
    decode_queue_us / 60e6 AS decode_queue_requests,
    stream_us / nullif(decode_unit_us, 0) AS streams_per_unit,
    kv_token_us / nullif(decode_unit_us, 0) AS kv_tokens_per_unit,
    output_tokens / 60.0 AS output_tokens_per_s
FROM replay_minute
WHERE run_id = $run_id
ORDER BY minute_start;
