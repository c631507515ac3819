-- Percentiles, mean and maximum of the token counts of a trace's rows: the smallest value that covers the share.
-- Rows whose cached tokens are not known are left out of these.
-- @public
-- @param trace_id  the trace
WITH counted AS (
    SELECT 'input_tokens' AS field, input_tokens AS tokens, count(*) AS n FROM request WHERE trace_id = $trace_id GROUP BY ALL
    UNION ALL
    SELECT 'cached_input_tokens', cached_input_tokens, count(*)
    FROM request
    WHERE trace_id = $trace_id AND cached_input_tokens IS NOT NULL
    GROUP BY ALL
    UNION ALL
    SELECT 'output_tokens', output_tokens, count(*) FROM request WHERE trace_id = $trace_id GROUP BY ALL
),

running AS (
    SELECT
        field,
        tokens,
        n,
        sum(n) OVER (PARTITION BY field ORDER BY tokens) AS upto,
        sum(n) OVER (PARTITION BY field) AS total
    FROM counted
)

SELECT
    field,
    sum(tokens * n)::DOUBLE / any_value(total) AS mean,
    min(tokens) FILTER (WHERE upto >= 0.50 * total) AS p50,
    min(tokens) FILTER (WHERE upto >= 0.90 * total) AS p90,
    min(tokens) FILTER (WHERE upto >= 0.95 * total) AS p95,
    min(tokens) FILTER (WHERE upto >= 0.99 * total) AS p99,
    max(tokens) AS max
FROM running
GROUP BY field
ORDER BY CASE field WHEN 'input_tokens' THEN 1 WHEN 'cached_input_tokens' THEN 2 ELSE 3 END;
