-- Remove the replay figures of a run.
-- @param run_id  the run
DELETE FROM replay_run WHERE run_id = $run_id;
