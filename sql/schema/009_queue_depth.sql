-- How many requests wait in a minute, whether or not they are begun in it; and prefill's work beside its time in
-- passes; how uneven ranks are at worst.
-- Replays stored before have neither: their waits were counted where they ended.

ALTER TABLE replay_minute ADD COLUMN prefill_work_us DOUBLE;
ALTER TABLE replay_minute ADD COLUMN prefill_queue_us DOUBLE;
ALTER TABLE replay_minute ADD COLUMN decode_queue_us DOUBLE;
ALTER TABLE replay_minute DROP COLUMN prefill_wait_us;
ALTER TABLE replay_minute DROP COLUMN decode_wait_us;

ALTER TABLE replay_run ADD COLUMN rank_kv_imbalance_p99 DOUBLE;
ALTER TABLE replay_run ADD COLUMN rank_stream_imbalance_p99 DOUBLE;
