-- Remove a run's rows from training_window.
-- @param run_id  the run
DELETE FROM training_window WHERE run_id = $run_id;
