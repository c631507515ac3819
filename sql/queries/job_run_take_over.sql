-- Claim a job's logical date that another attempt has left unfinished.
-- @param job           the job
-- @param logical_date  its date
-- @param owner         who claims it
-- @param now           when
-- @param lease_until   until when it is claimed
UPDATE job_run
SET
    status = 'running',
    -- an end in the future comes from a clock that ran ahead, and does not count
    attempts = CASE WHEN finished_at > $now THEN 1 ELSE attempts + 1 END,
    owner = $owner, lease_until = $lease_until, started_at = $now,
    finished_at = NULL, exit_code = NULL
WHERE job = $job AND logical_date = $logical_date::DATE;
