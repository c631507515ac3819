-- The output of a reader for the lines of a file; reason says why a line is refused. second_us: the other moment at which
-- a local clock shows the arrival, where it shows it twice. elapsed_us: of an arrival that is a number, from its 0.
CREATE TABLE parsed_lines (
    file_index INTEGER,
    line BIGINT,
    arrival_us BIGINT,
    input_tokens BIGINT,
    cached_input_tokens BIGINT,
    output_tokens BIGINT,
    class VARCHAR,
    session VARCHAR,
    parent VARCHAR,
    block_ids HUGEINT[],
    sample_weight BIGINT,
    block_tokens BIGINT,
    second_us BIGINT,
    elapsed_us BIGINT,
    reason VARCHAR
);
