-- Refused rows in file order.
SELECT file_index, line, reason FROM parsed WHERE reason IS NOT NULL AND NOT is_left_out(reason) ORDER BY file_index, line
