-- Remove a run's rows from training_job_run.
-- @param run_id  the run
DELETE FROM training_job_run WHERE run_id = $run_id;
