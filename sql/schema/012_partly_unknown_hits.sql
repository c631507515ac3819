-- A window of demand may know the cached tokens of some of its requests: how many it does not know them of.

ALTER TABLE demand_window ADD COLUMN cached_unknown BIGINT DEFAULT 0;
UPDATE demand_window SET cached_unknown = requests WHERE cached_input_tokens IS NULL;
