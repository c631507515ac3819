-- Remove a run's rows from training_job.
-- @param run_id  the run
DELETE FROM training_job WHERE run_id = $run_id;
