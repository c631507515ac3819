-- Record the run that a night has stored.
-- @param job           the job
-- @param logical_date  its date
-- @param run_id        the run
UPDATE job_run SET run_id = $run_id WHERE job = $job AND logical_date = $logical_date::DATE;
