-- Remove a run's rows from demand_interval.
-- @param run_id  the run
DELETE FROM demand_interval WHERE run_id = $run_id;
