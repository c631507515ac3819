-- The counts of a replay and its settings; no row for a run that is a plan only.
-- @public
-- @param run_id  the run
SELECT * EXCLUDE (run_id) FROM replay_run WHERE run_id = $run_id;
