-- The newest run.
-- @public
SELECT run_id FROM run ORDER BY created_at DESC, run_id DESC LIMIT 1;
