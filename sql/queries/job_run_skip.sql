-- Note a logical date that is too long ago to be caught up.
-- @param job           the job
-- @param logical_date  its date
-- @param owner         who noticed
-- @param now           when
-- @param message       why
INSERT INTO job_run
    (job, logical_date, status, attempts, owner, lease_until, started_at, finished_at, step, message)
VALUES ($job, $logical_date::DATE, 'skipped', 0, $owner, $now, $now, $now, 'skipped', $message)
ON CONFLICT DO NOTHING;
