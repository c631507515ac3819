-- When a service that may sleep sleeps and wakes, how its units start, and how many requests waited for one: because none
-- was held, or because all that were had failed. Runs stored before have none of these.

ALTER TABLE plan_interval ADD COLUMN sleep_state VARCHAR;
ALTER TABLE plan_interval ADD COLUMN warm_started_units INTEGER;
ALTER TABLE plan_interval ADD COLUMN cold_started_units INTEGER;

ALTER TABLE replay_run ADD COLUMN waited_for_start BIGINT;
ALTER TABLE replay_run ADD COLUMN waited_for_repair BIGINT;
