-- Units of a replay: when each began to serve and to drain, how long it took to empty, and the streams it handed over.
-- @public
-- @param run_id  the run
SELECT role, unit, serves_from, drains_from, drain_s, moved
FROM replay_unit
WHERE run_id = $run_id
ORDER BY role, unit;
