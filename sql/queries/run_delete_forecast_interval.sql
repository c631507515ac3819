-- Remove a run's rows from forecast_interval.
-- @param run_id  the run
DELETE FROM forecast_interval WHERE run_id = $run_id;
