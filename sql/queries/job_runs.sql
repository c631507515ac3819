-- The ledger of nightly jobs: what became of every logical date.
-- @public
SELECT * FROM job_run ORDER BY job, logical_date;
