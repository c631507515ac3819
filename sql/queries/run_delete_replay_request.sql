-- Remove the requests that a replay kept of a run.
-- @param run_id  the run
DELETE FROM replay_request WHERE run_id = $run_id;
