-- The output of a reader for windows of demand; reason says why one is refused. Tokens may be expected values. A reader
-- selects the columns that it knows of; the others are NULL.
-- second_us, end_second_us: the other moments at which a local clock shows start and end, where it shows them twice.
-- elapsed_us: of a start that is a number, from its 0. cached_input_tokens, written_tokens, cached_lies, teller: as of
-- requests.
CREATE TABLE parsed_lines (
    file_index INTEGER,
    line BIGINT,
    start_us BIGINT,
    end_us BIGINT,
    requests BIGINT,
    requests_with_lengths BIGINT,
    input_tokens DOUBLE,
    cached_input_tokens DOUBLE,
    output_tokens DOUBLE,
    second_us BIGINT,
    end_second_us BIGINT,
    elapsed_us BIGINT,
    written_tokens DOUBLE,
    cached_lies VARCHAR,
    teller VARCHAR,
    reason VARCHAR
);
