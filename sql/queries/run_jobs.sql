-- Training jobs of one run: what each requested, held, kept and lost, whether it finished, and its value.
-- @public
-- @param run_id  the run
SELECT * EXCLUDE (run_id) FROM training_jobs WHERE run_id = $run_id ORDER BY job_index;
