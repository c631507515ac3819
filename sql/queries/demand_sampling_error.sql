-- Relative standard error of the output tokens of an interval of a sampled trace: median and worst, over intervals with output.
-- Arrivals are taken as a Poisson stream, so the variance of an interval's tokens is the sum of their squares.
-- @public
-- @param trace_id     the trace
-- @param start_us     start of the first interval, microseconds since the epoch
-- @param end_us       end of the last interval
-- @param interval_us  length of an interval
WITH interval_error AS (
    SELECT sqrt(sum(output_tokens::DOUBLE ** 2)) / sum(output_tokens) AS error
    FROM request
    WHERE trace_id = $trace_id AND arrival_us >= $start_us::BIGINT AND arrival_us < $end_us::BIGINT
    GROUP BY (arrival_us - $start_us::BIGINT) // $interval_us::BIGINT
    HAVING sum(output_tokens) > 0
)

SELECT median(error) AS median_error, max(error) AS worst_error FROM interval_error;
