-- Remove a run's rows from revenue_step.
-- @param run_id  the run
DELETE FROM revenue_step WHERE run_id = $run_id;
