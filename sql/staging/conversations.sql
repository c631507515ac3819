-- A conversation is identified by its first turn: follow each turn to the one before, up to one that has none here.
CREATE OR REPLACE TABLE conversation AS
WITH RECURSIVE turn AS (
    SELECT DISTINCT session, parent FROM parsed WHERE reason IS NULL AND session IS NOT NULL
),

chain AS (
    SELECT session, session AS root FROM turn WHERE parent IS NULL OR parent NOT IN (SELECT session FROM turn)
    UNION
    SELECT turn.session, chain.root FROM turn JOIN chain ON turn.parent = chain.session
)

SELECT session, min(root) AS root FROM chain GROUP BY session;

CREATE OR REPLACE VIEW imported AS
SELECT parsed.* REPLACE (coalesce(conversation.root, parsed.session) AS session)
FROM parsed LEFT JOIN conversation ON parsed.session = conversation.session
WHERE reason IS NULL;
