-- Record that the notifications of how a night ended have arrived.
-- @param job           the job
-- @param logical_date  its date
-- @param now           when
UPDATE job_run SET announced_at = $now WHERE job = $job AND logical_date = $logical_date::DATE;
