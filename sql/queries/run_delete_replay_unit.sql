-- Remove the units of a replay of a run.
-- @param run_id  the run
DELETE FROM replay_unit WHERE run_id = $run_id;
