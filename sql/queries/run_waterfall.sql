-- The steps from theoretical to expected revenue of one run.
-- @public
-- @param run_id  the run
SELECT step_index, step, amount_usd_micros / 1e6 AS amount_usd FROM revenue_step WHERE run_id = $run_id ORDER BY step_index;
