-- The output of a reader for the lines of a file; reason says why a line is refused. A reader selects the columns that it
-- knows of; the others are NULL.
-- second_us: the other moment at which a local clock shows the arrival, where it shows it twice. elapsed_us: of an arrival
-- that is a number, from its 0. input_tokens: as told. cached_input_tokens: read from a cache, NULL where that is not
-- told. written_tokens: written to a cache. cached_lies: inside where the input as told holds both, outside where it
-- leaves them out, NULL where the row does not tell. teller: whose rows tell it alike, as a provider's; NULL for all of an
-- import. request_id: what identifies the request wherever it is told again. span_parent: request_id of the span around.
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
    written_tokens BIGINT,
    cached_lies VARCHAR,
    teller VARCHAR,
    request_id VARCHAR,
    span_parent VARCHAR,
    reason VARCHAR
);
