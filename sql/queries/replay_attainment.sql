-- Share of a replay's requests within their targets, hour by hour and class by class; requests that were rejected, or
-- not done at the end though the time had passed, count as outside.
-- @public
-- @param run_id  the run
SELECT
    replay_interval.interval_start,
    replay_interval.class_id,
    request_class.class,
    arrived AS requests,
    completed,
    rejected_queue + rejected_timeout AS rejected,
    ttft_met / nullif(ttft_counted + rejected_queue + rejected_timeout, 0) AS ttft_attainment,
    tpot_met / nullif(tpot_counted, 0) AS tpot_attainment,
    both_met / nullif(coalesce(both_counted, completed + rejected_queue + rejected_timeout), 0) AS both_attainment
FROM replay_interval
JOIN run USING (run_id)
LEFT JOIN request_class
    ON request_class.trace_id = run.trace_id AND request_class.class_id = replay_interval.class_id
WHERE replay_interval.run_id = $run_id
ORDER BY replay_interval.interval_start, replay_interval.class_id;
