-- Shared by all readers. Columns of text files are text; of Parquet files they are BIGINT, DOUBLE, a time or text.

-- Microseconds since the epoch, unchanged; NULL before 1677 and after 2261, which no clock shows.
CREATE MACRO on_a_clock(micros) AS CASE WHEN micros BETWEEN -9246182400000000 AND 9214646400000000 THEN micros END;

-- A text as an ISO time: itself, or what read_time makes of it; NULL where it is not a time as a whole.
CREATE MACRO iso_time(given) AS
    CASE
        WHEN NOT reads_iso() THEN read_time(given)
        WHEN regexp_full_match(given, '\s*\d{4}-\d{2}-\d{2}[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)?\s*')
            THEN given
        WHEN regexp_matches(given, '[^\d\s.eE+-]') THEN read_time(given)
    END;

-- Whether an ISO time tells its offset.
CREATE MACRO has_offset(iso) AS suffix(iso, 'Z') OR regexp_matches(iso, '(Z|[+-]\d{2}(:?\d{2})?)\s*$');

-- Microseconds of an ISO time as it is written, whatever its offset.
CREATE MACRO written_micros(iso) AS epoch_us(TRY_CAST(iso AS TIMESTAMP));

-- A column that tells a time, as the macros below take it: texts as ISO times, where they are any. Readers make it once,
-- in a step of its own: a macro is written out wherever it is used.
CREATE MACRO told_time
    (given VARCHAR) AS iso_time(given),
    (given TIMESTAMPTZ) AS given,
    (given TIMESTAMP) AS given,
    (given BIGINT) AS given,
    (given DOUBLE) AS given;

-- Microseconds since the epoch of a told time: with an offset, or of the zone of the import (`local_to_utc`, which is NULL
-- for times that its clock never shows, and the first of two that it shows twice); NULL for anything else.
CREATE MACRO arrival_micros
    (told VARCHAR) AS
        on_a_clock(
            CASE
                WHEN has_offset(told) THEN epoch_us(TRY_CAST(told AS TIMESTAMPTZ))
                ELSE local_to_utc(written_micros(told))
            END
        ),
    (told TIMESTAMPTZ) AS on_a_clock(CASE WHEN isfinite(told) THEN epoch_us(told) END),
    (told TIMESTAMP) AS on_a_clock(CASE WHEN isfinite(told) THEN local_to_utc(epoch_us(told)) END),
    (told BIGINT) AS NULL::BIGINT,
    (told DOUBLE) AS NULL::BIGINT;

-- The second of the two moments at which the clock of the zone shows a told time; NULL for all that it shows once.
CREATE MACRO second_micros
    (told VARCHAR) AS
        CASE WHEN shows_twice() AND NOT has_offset(told) THEN local_to_second(written_micros(told)) END,
    (told TIMESTAMP) AS CASE WHEN shows_twice() AND isfinite(told) THEN local_to_second(epoch_us(told)) END,
    (told TIMESTAMPTZ) AS NULL::BIGINT,
    (told BIGINT) AS NULL::BIGINT,
    (told DOUBLE) AS NULL::BIGINT;

CREATE MACRO number_fault() AS
    CASE
        WHEN reads_iso() THEN ' is a number that is not a time in its unit; state the unit with --time-unit'
        ELSE ' is a number, which --time-format does not read; leave --time-format out'
    END;

-- Why a time that is written as one is not read: its year, or the hour that a clock skips.
CREATE MACRO clock_fault(micros) AS
    CASE
        WHEN on_a_clock(micros) IS NULL THEN ' is of a year that no log is of'
        ELSE ' does not exist: the clock was put forward'
    END;

-- Why a column of the name is not a time, from what it holds and the time that it tells.
CREATE MACRO time_fault
    (name, given VARCHAR, told) AS
        name || CASE
            WHEN NOT reads_iso() AND told IS NULL THEN ' is not written as --time-format says'
            WHEN written_micros(told) IS NOT NULL THEN clock_fault(written_micros(told))
            WHEN TRY_CAST(given AS DOUBLE) IS NOT NULL THEN number_fault()
            ELSE ' is not a time'
        END,
    (name, given TIMESTAMP, told) AS
        name || CASE WHEN isfinite(given) THEN clock_fault(epoch_us(given)) ELSE ' is not a time' END,
    (name, given TIMESTAMPTZ, told) AS
        name || CASE WHEN isfinite(given) THEN clock_fault(epoch_us(given)) ELSE ' is not a time' END,
    (name, given BIGINT, told) AS name || number_fault(),
    (name, given DOUBLE, told) AS name || number_fault();

-- Microseconds of a number of units of so many nanoseconds from 0; NULL for anything else, and for all where --time-format
-- says how times are written.
CREATE MACRO micros_of
    (given VARCHAR, unit_ns) AS
        CASE
            WHEN reads_iso() AND TRY_CAST(given AS DOUBLE) * unit_ns BETWEEN 0 AND 7e18
                THEN ((round(TRY_CAST(given AS DECIMAL(38, 9)) * unit_ns)::HUGEINT + 500) // 1000)::BIGINT
        END,
    (given BIGINT, unit_ns) AS CASE WHEN reads_iso() AND given BETWEEN 0 AND 7000000000000000000 // unit_ns THEN (given * unit_ns + 500) // 1000 END,
    (given DOUBLE, unit_ns) AS CASE WHEN reads_iso() AND given * unit_ns BETWEEN 0 AND 7e18 THEN round(given * unit_ns / 1000)::BIGINT END,
    (given TIMESTAMPTZ, unit_ns) AS NULL::BIGINT,
    (given TIMESTAMP, unit_ns) AS NULL::BIGINT;

-- Whether all numbers of a list fit into its type: a cast that is tried leaves NULL where one does not.
CREATE MACRO all_fit(numbers) AS len(numbers) = list_count(numbers);

-- Millionths of a number of any unit; NULL for anything else.
CREATE MACRO millionths_of(given) AS
    CASE WHEN TRY_CAST(given AS DOUBLE) BETWEEN 0 AND 7e12 THEN round(TRY_CAST(given AS DECIMAL(38, 9)) * 1000000)::BIGINT END;

-- Whether a JSON text is a list of whole numbers, and whether all of them are ids of 64 bits, with a sign or without.
CREATE MACRO is_id_list(given) AS regexp_full_match(given, '\[(\s*-?\d+\s*(,\s*-?\d+\s*)*)?\]');
CREATE MACRO are_64_bits(ids) AS
    all_fit(ids)
    AND coalesce(list_min(ids) >= -9223372036854775808 AND list_max(ids) <= 18446744073709551615, len(ids) = 0);

-- Whether microseconds since 1970 are of the years 2000 to 2099: no log is older, and none is of the future.
CREATE MACRO is_plausible(micros) AS micros BETWEEN 946684800000000 AND 4102444799999999;

-- Microseconds since the epoch of a text that is a number in the one unit, of s, ms, us and ns, that makes a plausible time
-- of it.
CREATE MACRO epoch_micros(given VARCHAR) AS list_filter(
    [micros_of(given, 1000000000), micros_of(given, 1000000), micros_of(given, 1000), micros_of(given, 1)],
    lambda one: is_plausible(one)
)[1];

-- The moment that a number means: microseconds since 1970 where no other start is stated and that is a plausible time, or
-- else since the start; NULL where it would be more than ten years from it.
CREATE MACRO number_micros(elapsed_us, start_us, is_started) AS
    CASE
        WHEN is_plausible(elapsed_us) AND NOT is_started THEN elapsed_us
        WHEN elapsed_us <= 315576000000000 THEN start_us + elapsed_us
    END;

-- A text as a whole number: digits, with a sign or zeros after a point, in groups of three (1,234 or 1 234 or 1_234), or
-- with an exponent, as spreadsheets write; NULL for anything else, and for what may mean two numbers (1.234, 1.000 or
-- 100,0).
CREATE MACRO whole_of(given) AS
    CASE
        WHEN regexp_full_match(given, '\s*\+?(\d{1,16}(\.0{0,2})?|0+\.0*|\d{1,16}\.0{4,}|\d{4,16}\.0*)\s*') THEN TRY_CAST(given AS BIGINT)
        WHEN regexp_full_match(given, '\s*\+?\d{1,3}((,\d{3}){1,5}|([ _\x{a0}\x{202f}]\d{3}){1,5})(\.0*)?\s*')
            THEN TRY_CAST(regexp_replace(given, '[,\s_\x{a0}\x{202f}]', '', 'g') AS BIGINT)
        WHEN regexp_full_match(given, '\s*\+?\d{1,16}(\.\d*)?[eE]\+?\d{1,2}\s*')
            AND TRY_CAST(given AS DOUBLE) < 9e15 AND TRY_CAST(given AS DOUBLE) = floor(TRY_CAST(given AS DOUBLE))
            THEN TRY_CAST(given AS DOUBLE)::BIGINT
    END;

-- A column's whole number of tokens that fits INTEGER; NULL for anything else.
CREATE MACRO token_count
    (given VARCHAR) AS TRY_CAST(whole_of(given) AS INTEGER)::BIGINT,
    (given BIGINT) AS CASE WHEN given BETWEEN 0 AND 2147483647 THEN given END,
    (given DOUBLE) AS CASE WHEN given BETWEEN 0 AND 2147483647 AND given = floor(given) THEN given::BIGINT END,
    (given TIMESTAMPTZ) AS NULL::BIGINT,
    (given TIMESTAMP) AS NULL::BIGINT;

-- The JSON in a column, NULL where it is none. A half of an escaped pair, as where a text was cut inside an emoji, makes a text
-- no JSON; Parquet files have it as it was written.
CREATE MACRO json_in(given) AS
    CASE
        WHEN json_valid(given) THEN given::JSON
        ELSE TRY_CAST(regexp_replace(given, '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\\ufffd', 'g') AS JSON)
    END;

-- Whether a column tells something: neither nothing nor one of the words that stand for it.
CREATE MACRO is_told
    (given VARCHAR) AS coalesce(NOT regexp_full_match(given, '\s*((?i)null|none|nan|n/a|\\n|-)?\s*'), false),
    (given BIGINT) AS given IS NOT NULL,
    (given DOUBLE) AS given IS NOT NULL,
    (given TIMESTAMPTZ) AS given IS NOT NULL,
    (given TIMESTAMP) AS given IS NOT NULL;

-- Whether a column that names something does: neither nothing nor a word that stands for it, as - and unknown do, nor the
-- UUID of zeros.
CREATE MACRO is_named
    (given VARCHAR) AS
        coalesce(
            NOT regexp_full_match(
                given,
                '\s*((?i)-+|null|nil|none|nan|n/?a|undefined|unknown|unset|not set|empty|missing|[(<](null|nil|none|unknown)[)>]|\\n'
                || '|0{8}-0{4}-0{4}-0{4}-0{12})?\s*'
            ),
            false
        ),
    (given BIGINT) AS given IS NOT NULL,
    (given DOUBLE) AS given IS NOT NULL,
    (given TIMESTAMPTZ) AS given IS NOT NULL,
    (given TIMESTAMP) AS given IS NOT NULL;

-- Whether a column is the id of a row: one that names something, and is not 0.
CREATE MACRO is_id
    (given VARCHAR) AS is_named(given) AND NOT regexp_full_match(given, '\s*0+(\.0*)?\s*'),
    (given BIGINT) AS coalesce(given <> 0, false),
    (given DOUBLE) AS coalesce(given <> 0, false),
    (given TIMESTAMPTZ) AS given IS NOT NULL,
    (given TIMESTAMP) AS given IS NOT NULL;

-- The largest of several tokens that a row tells under several names; NULL where one of them is no number of tokens, as
-- it is not known which of the others it contradicts.
CREATE MACRO largest_count(told) AS list_transform(
    [list_transform(told, lambda one: token_count(one::VARCHAR))], lambda counts: CASE WHEN all_fit(counts) THEN list_max(counts) END
)[1];

-- A whole number that a sum of tokens can be; NULL for anything else.
-- In a list of one, as what is given may be long, and would be written out wherever it is used.
CREATE MACRO whole_number(given) AS
    list_transform([given], lambda text: CASE WHEN whole_of(text) <= 4000000000000000 THEN whole_of(text) END)[1];

-- The sum, as text, of lists of numbers of which some may not be told; NULL where none is, or none of the first list where
-- that is needed, and the first that is no whole number where one is none, so that the row is refused for it.
CREATE MACRO sum_of(numbers, needs_first) AS list_transform(
    [list_transform(numbers::VARCHAR[][], lambda part: list_filter(part, lambda one: is_told(one)))],
    lambda told: CASE
        WHEN len(told[1]) > 0 OR NOT needs_first
            THEN coalesce(
                list_filter(flatten(told), lambda one: whole_number(one) IS NULL)[1],
                list_sum(list_transform(flatten(told), lambda one: whole_number(one)))::VARCHAR
            )
    END
)[1];

-- What a JSON object has under those of its keys that begin alike, as a list of texts.
CREATE MACRO values_under(object, beginning) AS list_transform(
    [object::VARCHAR],
    lambda text: CASE
        WHEN json_valid(text) AND json_type(text) = 'OBJECT'
            THEN list_transform(
                list_filter(json_keys(text), lambda name: starts_with(name, beginning)),
                lambda name: json_extract_string(text, '/' || replace(replace(name, '~', '~0'), '/', '~1'))
            )
        ELSE []::VARCHAR[]
    END
)[1];

-- Why a row is refused for what it tells: reason, name and value where a pattern matches the value, in any case.
CREATE MACRO told_against(given, pattern, reason, name) AS list_transform(
    [given::VARCHAR],
    lambda told: CASE
        WHEN regexp_matches(told, pattern, 'i') AND is_told(told)
            THEN reason || ': ' || name || ' is ' || left(split_part(trim(told), '?', 1), 80)
    END
)[1];

-- The largest of the numbers that texts tell; NULL where none tells one, and -1, which no reader accepts, where what one tells
-- is no whole number.
CREATE MACRO largest_told(given) AS list_transform(
    [list_transform(given, lambda one: coalesce(whole_number(one), CASE WHEN is_told(one) THEN -1 END))],
    lambda numbers: CASE WHEN list_min(numbers) < 0 THEN -1 ELSE list_max(numbers) END
)[1];

-- Whether a row was not asked for, which is told where others have the reason why they are refused.
CREATE MACRO is_left_out(reason) AS reason = 'left out by --where';

-- A metric of a record of AIPerf, nested or flat.
CREATE MACRO aiperf_metric(entry, name) AS coalesce(
    json_extract_string(entry, '$.metrics.' || name || '.value'),
    json_extract_string(entry, '$."metrics.' || name || '.value"'),
    json_extract_string(entry, '$."metrics.' || name || '"'),
    json_extract_string(entry, '$.' || name)
);
