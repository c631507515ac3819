-- The ledger of nightly jobs: the outcome of every logical date.
-- @public
SELECT * FROM job_run ORDER BY job, logical_date;
