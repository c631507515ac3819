-- Nodes lent to training by one run, window by window.
-- @public
-- @param run_id  the run
SELECT * EXCLUDE (run_id) FROM training_windows WHERE run_id = $run_id ORDER BY window_start, window_end;
