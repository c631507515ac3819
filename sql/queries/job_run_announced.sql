-- Record that the outcome of a night was published and announced.
-- @param job           the job
-- @param logical_date  its date
-- @param now           when
UPDATE job_run SET announced_at = $now WHERE job = $job AND logical_date = $logical_date::DATE;
