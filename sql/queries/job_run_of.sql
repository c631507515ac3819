-- The ledger row of a job and a logical date.
-- @param job           the job
-- @param logical_date  its date
SELECT * FROM job_run WHERE job = $job AND logical_date = $logical_date::DATE;
