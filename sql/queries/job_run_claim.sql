-- Claim a job's logical date; nothing happens where it is claimed already.
-- @param job           the job
-- @param logical_date  its date
-- @param owner         who claims it
-- @param now           when
-- @param lease_until   until when it is claimed
INSERT INTO job_run
    (job, logical_date, status, attempts, owner, lease_until, started_at, step, message)
VALUES ($job, $logical_date::DATE, 'running', 1, $owner, $lease_until, $now, 'claimed', '')
ON CONFLICT DO NOTHING;
