-- Number the ids of prefix blocks from 0, in their order: equal ids stay equal, and others differ.
CREATE OR REPLACE TABLE numbered AS
WITH block AS (
    SELECT rowid AS place, unnest(block_ids) AS id, generate_subscripts(block_ids, 1) AS position
    FROM parsed_lines
    WHERE block_ids IS NOT NULL AND reason IS NULL
),

number AS (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM (SELECT DISTINCT id FROM block)
)

SELECT place, list(number ORDER BY position) AS block_ids FROM block JOIN number USING (id) GROUP BY place;

UPDATE parsed_lines SET block_ids = numbered.block_ids FROM numbered WHERE parsed_lines.rowid = numbered.place;

DROP TABLE numbered
