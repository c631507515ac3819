-- Refused rows in file order.
SELECT file_index, line, reason FROM parsed WHERE reason IS NOT NULL ORDER BY file_index, line
