-- Remove a run's rows from plan_interval.
-- @param run_id  the run
DELETE FROM plan_interval WHERE run_id = $run_id;
