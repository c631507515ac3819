-- Remove a run from the comparisons that it is part of.
-- @param run_id  the run
DELETE FROM policy_comparison WHERE run_id = $run_id;
