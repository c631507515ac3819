-- Training jobs of one run: what each asked, held, kept and lost, whether it is done and what it earned.
-- @public
-- @param run_id  the run
SELECT * EXCLUDE (run_id) FROM training_jobs WHERE run_id = $run_id ORDER BY job_index;
