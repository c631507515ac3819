-- Where ids of prefix blocks are unsigned, refuse the rows with negative ones.
UPDATE parsed_lines
SET reason = 'hash_ids has a negative number, and others of the log are above 2^63 - 1, which no ids of 64 bits can both be'
WHERE reason IS NULL AND list_min(block_ids) < 0
