-- Latencies at the 99th percentile, within 0.4 %, and shares of requests within the targets, over a whole replay; requests that
-- were rejected, or not done at the end though the time had passed, count as outside.
-- @public
-- @param run_id  the run
WITH counted AS (
    SELECT metric, from_us, to_us, sum(request_count) AS requests
    FROM latency_histogram
    WHERE run_id = $run_id
    GROUP BY metric, from_us, to_us
),

running AS (
    SELECT
        *,
        sum(requests) OVER (PARTITION BY metric ORDER BY from_us) AS requests_up_to,
        sum(requests) OVER (PARTITION BY metric) AS all_requests
    FROM counted
),

slowest AS (
    SELECT metric, min((from_us + to_us) / 2000) FILTER (WHERE requests_up_to >= ceil(0.99 * all_requests)) AS p99_ms
    FROM running
    GROUP BY metric
)

SELECT
    (SELECT p99_ms FROM slowest WHERE metric = 'ttft') AS ttft_p99_ms,
    (SELECT p99_ms FROM slowest WHERE metric = 'tpot') AS tpot_p99_ms,
    sum(ttft_met) / nullif(sum(ttft_counted + rejected_queue + rejected_timeout), 0) AS ttft_attainment,
    sum(tpot_met) / nullif(sum(tpot_counted), 0) AS tpot_attainment,
    sum(both_met)
    / nullif(sum(coalesce(both_counted, completed + rejected_queue + rejected_timeout)), 0) AS both_attainment
FROM replay_interval
WHERE run_id = $run_id
HAVING count(*) > 0;
