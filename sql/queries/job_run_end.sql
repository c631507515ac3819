-- End an attempt: done, failed or released.
-- @param job           the job
-- @param logical_date  its date
-- @param status        done, failed or released
-- @param attempts      number of attempts that count
-- @param now           when
-- @param exit_code     0 done, 1 failed, 3 done and a stated limit missed; NULL where it was released
-- @param message       why, or what was missed
UPDATE job_run
SET
    status = $status, attempts = $attempts, lease_until = $now, finished_at = $now, exit_code = $exit_code,
    message = $message,
    -- a repeat of the same failure is not announced again
    announced_at = CASE WHEN $status = 'failed' AND message = $message THEN announced_at END
WHERE job = $job AND logical_date = $logical_date::DATE;
