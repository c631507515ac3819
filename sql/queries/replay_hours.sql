-- Activity of units in a replay, by hour of the counted window: queues, streams, KV, shares of time, tokens per second.
-- An hour that begins or ends inside a minute includes the whole minute.
-- @public
-- @param run_id  the run
WITH hours AS (
    SELECT
        interval_start,
        sum(arrived)::BIGINT AS requests,
        sum(completed)::BIGINT AS completed,
        sum(rejected_queue + rejected_timeout)::BIGINT AS rejected,
        sum(both_met)
        / nullif(sum(coalesce(both_counted, completed + rejected_queue + rejected_timeout)), 0) AS both_attainment
    FROM replay_interval
    WHERE run_id = $run_id
    GROUP BY interval_start
)

SELECT
    interval_start,
    any_value(hours.requests) AS requests,
    any_value(hours.completed) AS completed,
    any_value(hours.rejected) AS rejected,
    any_value(hours.both_attainment) AS both_attainment,
    avg(prefill_queue_us) / 60e6 AS prefill_queue_requests,
    avg(decode_queue_us) / 60e6 AS decode_queue_requests,
    sum(stream_us) / nullif(sum(decode_unit_us), 0) AS streams_per_unit,
    sum(kv_token_us) / nullif(sum(decode_unit_us), 0) AS kv_tokens_per_unit,
    max(kv_tokens_most) AS kv_tokens_most,
    sum(prefill_busy_us) / nullif(sum(prefill_unit_us), 0) AS prefill_busy,
    sum(prefill_work_us) / nullif(sum(prefill_unit_us), 0) AS prefill_utilisation,
    sum(decode_busy_us) / nullif(sum(decode_unit_us), 0) AS decode_busy,
    sum(output_tokens) / (count(*) * 60.0) AS output_tokens_per_s,
    sum(output_tokens) * 1e6 / nullif(sum(decode_unit_us), 0) AS output_tokens_per_s_per_decode_unit,
    sum(output_tokens) * 1e6 / nullif(sum(stream_us), 0) AS output_tokens_per_s_per_stream
FROM hours
JOIN replay_minute
    ON replay_minute.run_id = $run_id
    AND minute_start > interval_start - INTERVAL 1 MINUTE AND minute_start < interval_start + INTERVAL 1 HOUR
JOIN replay_run ON replay_run.run_id = replay_minute.run_id AND minute_start < window_end
GROUP BY interval_start
ORDER BY interval_start;
