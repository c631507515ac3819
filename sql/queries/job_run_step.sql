-- Record the step that a night has reached, and extend its lease.
-- @param job           the job
-- @param logical_date  its date
-- @param step          the step
-- @param lease_until   until when it is claimed
UPDATE job_run SET step = $step, lease_until = $lease_until
WHERE job = $job AND logical_date = $logical_date::DATE;
