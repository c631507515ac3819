-- Where training jobs of one run were, segment by segment and node by node.
-- @public
-- @param run_id  the run
SELECT training_job_run.* EXCLUDE (run_id), job
FROM training_job_run
JOIN training_job USING (run_id, job_index)
WHERE run_id = $run_id
ORDER BY job_index, segment_index, node_slot;
