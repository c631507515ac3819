-- Units of a replay: from when each served and drained, how long it took to be empty, streams that it handed over.
-- @public
-- @param run_id  the run
SELECT role, unit, serves_from, drains_from, drain_s, moved
FROM replay_unit
WHERE run_id = $run_id
ORDER BY role, unit;
