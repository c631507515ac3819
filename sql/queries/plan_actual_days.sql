-- Days of a nightly job with plan and actual, newest first.
-- @public
-- @param job  the job
SELECT * FROM plan_vs_actual WHERE job = $job ORDER BY day DESC;
