-- How many requests wait in a minute, whether or not they are begun in it; and prefill's work beside its time in
-- passes; how uneven ranks are at worst, and prefill units. Replays stored before have none of these: their waits were
-- counted in full in the minute in which they ended.

ALTER TABLE replay_minute ADD COLUMN prefill_work_us DOUBLE;
ALTER TABLE replay_minute ADD COLUMN prefill_queue_us DOUBLE;
ALTER TABLE replay_minute ADD COLUMN decode_queue_us DOUBLE;
ALTER TABLE replay_minute DROP COLUMN prefill_wait_us;
ALTER TABLE replay_minute DROP COLUMN decode_wait_us;

ALTER TABLE replay_run ADD COLUMN rank_kv_imbalance_p99 DOUBLE;
ALTER TABLE replay_run ADD COLUMN rank_stream_imbalance_p99 DOUBLE;
ALTER TABLE replay_run ADD COLUMN prefill_token_imbalance_mean DOUBLE;
ALTER TABLE replay_run ADD COLUMN prefill_token_imbalance_p99 DOUBLE;
ALTER TABLE replay_run ADD COLUMN prefill_request_imbalance_mean DOUBLE;
ALTER TABLE replay_run ADD COLUMN prefill_request_imbalance_p99 DOUBLE;
