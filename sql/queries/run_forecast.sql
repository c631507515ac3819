-- The forecast behind a nightly plan, beside the quantile that was planned for.
-- @public
-- @param run_id  the run
SELECT
    interval_start,
    forecast_interval.input_tokens,
    forecast_interval.output_tokens,
    demand_interval.input_tokens AS planned_input_tokens,
    demand_interval.output_tokens AS planned_output_tokens
FROM forecast_interval
JOIN demand_interval USING (run_id, interval_start)
WHERE run_id = $run_id
ORDER BY interval_start;
