-- Give times of an open unit their unit.
UPDATE parsed_lines
SET
    arrival_us = number_micros(micros, $start_us::BIGINT, $is_started::BOOLEAN),
    elapsed_us = micros,
    reason = coalesce(
        parsed_lines.reason,
        CASE
            WHEN number_micros(micros, $start_us::BIGINT, $is_started::BOOLEAN) IS NOT NULL THEN NULL
            WHEN $is_started::BOOLEAN
                THEN 'timestamp is a number of more than ten years from --start; leave --start out, or state the unit with --time-unit'
            ELSE 'timestamp is a number that is not a time in its unit; state the unit with --time-unit'
        END
    )
FROM (
    SELECT
        rowid AS place,
        TRY_CAST((elapsed_us::HUGEINT * $unit_ns::BIGINT + 500000000) // 1000000000 AS BIGINT) AS micros
    FROM parsed_lines
    WHERE elapsed_us IS NOT NULL
) AS timed
WHERE parsed_lines.rowid = timed.place
