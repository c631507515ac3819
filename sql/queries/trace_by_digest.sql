-- The trace with given settings.
-- @param settings_digest  sha256 of origin and settings
SELECT * FROM trace WHERE settings_digest = $settings_digest ORDER BY trace_id LIMIT 1;
