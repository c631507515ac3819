-- Remove the hours of replay of a run.
-- @param run_id  the run
DELETE FROM replay_interval WHERE run_id = $run_id;
