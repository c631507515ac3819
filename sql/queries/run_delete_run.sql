-- Remove a run's rows from run.
-- @param run_id  the run
DELETE FROM run WHERE run_id = $run_id;
