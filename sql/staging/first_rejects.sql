-- Refused rows by reason, the most frequent first, each with the place of its first row.
SELECT
    reason,
    count(*) AS rejected,
    min((file_index, line))[1] AS file_index,
    min((file_index, line))[2] AS line
FROM parsed
WHERE reason IS NOT NULL AND NOT is_left_out(reason)
GROUP BY reason
ORDER BY rejected DESC, reason
