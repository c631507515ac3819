-- The stored run itself: scenario with provenance, notes, digest.
-- @param run_id  the run
SELECT * FROM run WHERE run_id = $run_id;
