-- Where the lent node-hours of one run with training jobs went, and how many jobs finished.
-- @public
-- @param run_id  the run
SELECT * EXCLUDE (run_id) FROM training_account WHERE run_id = $run_id;
