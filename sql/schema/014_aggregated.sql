-- Units that read prompts and decode on the same GPUs. Runs stored before have none: theirs do one of both.

ALTER TABLE plan_interval ADD COLUMN aggregated_units INTEGER DEFAULT 0;
