-- Remove a run's rows from ledger_interval.
-- @param run_id  the run
DELETE FROM ledger_interval WHERE run_id = $run_id;
