-- Record a logical date that is too long ago to catch up on; one that is done or running is kept.
-- @param job           the job
-- @param logical_date  its date
-- @param owner         who noticed
-- @param now           when
-- @param message       why
INSERT INTO job_run
    (job, logical_date, status, attempts, owner, lease_until, started_at, finished_at, step, message)
VALUES ($job, $logical_date::DATE, 'skipped', 0, $owner, $now, $now, $now, 'skipped', $message)
ON CONFLICT DO UPDATE SET
    status = 'skipped', finished_at = $now, step = 'skipped', message = $message, exit_code = NULL, announced_at = NULL
WHERE job_run.status <> 'done' AND (job_run.status <> 'running' OR job_run.lease_until <= $now);
