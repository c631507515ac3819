-- Remove the minutes of replay of a run.
-- @param run_id  the run
DELETE FROM replay_minute WHERE run_id = $run_id;
