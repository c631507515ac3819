-- Mean KV length per output token of a trace, sum(o*(i + o/2))/sum(o), and its standard error as a ratio of sums.
-- Both are NULL where there is no output.
-- @public
-- @param trace_id  the trace
WITH total AS (
    SELECT
        nullif(sum(output_tokens)::DOUBLE, 0) AS weights,
        sum(output_tokens::DOUBLE * (input_tokens + output_tokens / 2.0)) / nullif(sum(output_tokens), 0) AS mean
    FROM request
    WHERE trace_id = $trace_id
)

SELECT
    any_value(mean) AS kv_tokens_per_output_token,
    sqrt(sum((output_tokens::DOUBLE * (input_tokens + output_tokens / 2.0 - mean)) ** 2)) / any_value(weights) AS standard_error
FROM request, total
WHERE trace_id = $trace_id;
