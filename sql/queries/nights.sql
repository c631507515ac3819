-- Every finished night with the figures of its plan, and the actual outcome of the planned day.
-- @public
SELECT
    job_run.job,
    job_run.logical_date,
    job_run.status,
    job_run.message,
    job_run.run_id,
    job_run.finished_at,
    run.logical_date AS planned_day,
    run_summary.peak_nodes,
    run_summary.node_hours,
    run_summary.cost_usd,
    actual.needed_node_hours,
    actual.input_tokens + actual.output_tokens AS tokens,
    actual.output_wape,
    actual.band_missed,
    actual.error_cost_usd,
    actual.drift
FROM job_run
LEFT JOIN run USING (run_id)
LEFT JOIN run_summary USING (run_id)
LEFT JOIN plan_vs_actual AS actual ON actual.job = job_run.job AND actual.run_id = job_run.run_id
WHERE job_run.status IN ('done', 'failed', 'skipped')
ORDER BY job_run.job, job_run.logical_date DESC;
