-- Refused rows by reason, the most frequent first.
SELECT reason, count(*) AS rows FROM parsed WHERE reason IS NOT NULL AND NOT is_left_out(reason) GROUP BY reason ORDER BY rows DESC, reason;
