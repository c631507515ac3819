-- Rows and tokens of a trace per interval, counted from a given moment; intervals without arrivals are left out.
-- @public
-- @param trace_id     the trace
-- @param start_us     start of the first interval, microseconds since the epoch
-- @param end_us       end of the last interval
-- @param interval_us  length of an interval
SELECT
    (arrival_us - $start_us::BIGINT) // $interval_us::BIGINT AS interval_index,
    count(*) AS row_count,
    sum(input_tokens)::BIGINT AS input_tokens,
    coalesce(sum(cached_input_tokens), 0)::BIGINT AS cached_input_tokens,
    sum(output_tokens)::BIGINT AS output_tokens
FROM request
WHERE trace_id = $trace_id AND arrival_us >= $start_us::BIGINT AND arrival_us < $end_us::BIGINT
GROUP BY interval_index
ORDER BY interval_index;
