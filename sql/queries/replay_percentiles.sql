-- Latency percentiles of a replay, hour by hour: 50, 90, 95 and 99 %, each within 0.4 %.
-- @public
-- @param run_id  the run
WITH counted AS (
    SELECT interval_start, metric, from_us, to_us, sum(request_count) AS requests
    FROM latency_histogram
    WHERE run_id = $run_id
    GROUP BY interval_start, metric, from_us, to_us
),

running AS (
    SELECT
        *,
        sum(requests) OVER (PARTITION BY interval_start, metric ORDER BY from_us) AS requests_up_to,
        sum(requests) OVER (PARTITION BY interval_start, metric) AS all_requests
    FROM counted
)

SELECT
    interval_start,
    metric,
    percentile,
    min((from_us + to_us) / 2000) FILTER (WHERE requests_up_to >= ceil(percentile / 100.0 * all_requests)) AS latency_ms,
    any_value(all_requests)::BIGINT AS requests
FROM running, (VALUES (50), (90), (95), (99)) AS wanted (percentile)
GROUP BY interval_start, metric, percentile
ORDER BY interval_start, metric, percentile;
