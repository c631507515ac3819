-- Remove the latency histograms of a run.
-- @param run_id  the run
DELETE FROM latency_histogram WHERE run_id = $run_id;
