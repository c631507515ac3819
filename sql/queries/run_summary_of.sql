-- All figures of one run.
-- @public
-- @param run_id  the run
SELECT * FROM run_summary WHERE run_id = $run_id;
