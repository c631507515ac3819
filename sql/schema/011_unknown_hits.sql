-- Cached tokens that a log does not tell are NULL, and counted.

ALTER TABLE trace ADD COLUMN cached_unknown BIGINT DEFAULT 0;
ALTER TABLE demand_window ALTER COLUMN cached_input_tokens DROP NOT NULL;

-- these logs never tell them, and were stored with none
UPDATE trace SET cached_unknown = row_count WHERE origin <> 'synthetic' AND format IN ('azure', 'azure-lmm', 'burstgpt', 'servegen');
