"""SQL that a hostile, curious or clumsy user may give to `planner sql`: what each group is to come to.

{folder} is a folder with the files secret.txt, secret.csv and other.duckdb, in which nothing may appear.
"""

REFUSED = """
INSERT INTO run SELECT * FROM run
UPDATE run SET trace = 'x'
DELETE FROM run
DROP TABLE run
DROP VIEW run_summary
TRUNCATE run
CREATE TABLE t AS SELECT 1
CREATE TEMP TABLE t AS SELECT 1
CREATE VIEW v AS SELECT 1
CREATE MACRO m(x) AS x + 1
CREATE SEQUENCE s
CREATE SCHEMA s
CREATE TYPE mood AS ENUM ('a', 'b')
CREATE INDEX i ON run (trace)
CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')
CREATE OR REPLACE TABLE run AS SELECT 1
ALTER TABLE run ADD COLUMN x INTEGER
COMMENT ON TABLE run IS 'x'
MERGE INTO run USING (SELECT 1 AS x) ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES
ATTACH '{folder}/other.duckdb' AS other
ATTACH ':memory:' AS other
ATTACH '{folder}/new.duckdb' AS other
DETACH planner
USE memory
COPY run TO '{folder}/run.csv'
COPY (SELECT 1) TO '{folder}/one.parquet' (FORMAT parquet)
COPY run FROM '{folder}/secret.csv'
COPY FROM DATABASE planner TO other
EXPORT DATABASE '{folder}/export'
IMPORT DATABASE '{folder}/export'
INSTALL httpfs
LOAD httpfs
FORCE INSTALL icu FROM 'http://127.0.0.1:9'
PRAGMA database_list
PRAGMA enable_profiling
PRAGMA memory_limit='100GB'
SET memory_limit = '100GB'
SET enable_external_access = true
SET lock_configuration = false
SET GLOBAL temp_directory = '{folder}/spill'
SET VARIABLE x = 1
RESET memory_limit
CHECKPOINT
FORCE CHECKPOINT
VACUUM
VACUUM ANALYZE run
ANALYZE
BEGIN
COMMIT
ROLLBACK
CALL pragma_version()
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
SELECT 1; SELECT 2
SELECT 1; DROP TABLE run
; ; DROP TABLE run
SELECT * FROM read_csv('{folder}/secret.csv')
SELECT * FROM read_csv_auto('{folder}/*.csv')
SELECT * FROM read_text('{folder}/secret.txt')
SELECT * FROM read_blob('{folder}/secret.txt')
SELECT * FROM read_json('{folder}/secret.txt')
SELECT * FROM read_parquet('{folder}/secret.txt')
SELECT * FROM read_duckdb('{folder}/other.duckdb')
SELECT * FROM parquet_metadata('{folder}/secret.txt')
SELECT * FROM sniff_csv('{folder}/secret.csv')
SELECT * FROM glob('{folder}/*')
SELECT * FROM '{folder}/secret.csv'
SELECT * FROM "{folder}/secret.csv"
SELECT * FROM 'http://127.0.0.1:9/x.csv'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM '/proc/self/environ'
SELECT * FROM read_text('/etc/passwd')
SELECT getenv('PATH')
SELECT * FROM query('DROP TABLE run')
SELECT * FROM sqlite_scan('{folder}/other.duckdb', 'x')
SELECT * FROM postgres_scan('', '', '')
SELECT * FROM repeat_row(1)
SELECT nextval('nope')
SELECT currval('nope')
SELECT * FROM nope
SELECT nope FROM run
SELECT nope(1)
SELECT
SELEC 1
SELECT 'open
SELECT "open
SELECT 1 +
SELECT (1
SELECT 1)
SELECT * FROM
SELECT /* open
SELECT $1
SELECT ?
SELECT $nope
SELECT :nope
FROM
/* only a comment */
SELECT 'x'::INTEGER
SELECT CAST('2024-13-45' AS DATE)
SELECT 9223372036854775807 + 1
SELECT 1::TINYINT * 1000::TINYINT
SELECT error('mine')
SELECT (SELECT 1 UNION ALL SELECT 2)
SELECT '[1,'::JSON
SELECT json_extract('[', '$')
SELECT regexp_matches('a', '(')
SELECT strptime('x', '%Y')
SELECT to_days(9223372036854775807)
SELECT repeat('a', 9223372036854775807)
SELECT range(0, 9223372036854775807)
SELECT DATE 'infinity'
SELECT TIMESTAMP '-infinity'
SELECT TIMESTAMPTZ 'infinity'
SELECT DATE '5881580-07-10'
SELECT DATE '0044-03-15 (BC)'
SELECT [DATE 'infinity']
SELECT {{'a': {{'b': [DATE 'infinity']}}}}
SELECT MAP {{'x': TIMESTAMP 'infinity'}}
SELECT INTERVAL 1 MONTH
SELECT [INTERVAL 1 MONTH]
SELECT {{'a': INTERVAL 1 MONTH}}
SELECT union_value(x := 1)
SELECT 1::VARIANT
"""
"""One line, exit code 1: nothing is written, and nothing outside is read."""

ANSWERED = r"""
SELECT 'nan'::DOUBLE, 'inf'::DOUBLE, '-inf'::FLOAT
SELECT NULL
SELECT 170141183460469231731687303715884105727
SELECT 1::UHUGEINT, (-1)::HUGEINT, 1.5::DECIMAL(38, 37)
SELECT '101'::BIT
SELECT uuid()
SELECT 'a'::ENUM ('a', 'b')
SELECT '\xFF\x00'::BLOB
SELECT ''::BLOB
SELECT [[1, NULL], []]
SELECT []
SELECT {{'a': 1, 'b': {{'c': [1, 2]}}}}
SELECT MAP {{'a': 1}}
SELECT [1, 2]::INTEGER[2]
SELECT '{{"a": [1, null]}}'::JSON
SELECT TIME '24:00:00'
SELECT TIMETZ '10:00:00+02'
SELECT TIMESTAMP_NS '2024-01-01 00:00:00.123456789', TIMESTAMP_S '2024-01-01', TIMESTAMP_MS '2024-01-01'
SELECT TIMESTAMPTZ '2024-01-01 00:00:00+14'
SELECT DATE '0001-01-01', DATE '9999-12-31'
SELECT 1 AS a, 2 AS a, 3 AS "a_1"
SELECT sqrt(-1), ln(0)
SELECT 1 AS "a\nb"
SELECT chr(27) || '[2J' AS x
SELECT 1 AS "=1+1", '=1+1' AS b
SELECT chr(0) || 'x'
SELECT chr(8238) || 'txt.exe'
SELECT '🦆' AS "🦆"
SELECT repeat('x', 100000)
SELECT x FROM range(100000) t(x)
SELECT * FROM range(0)
SELECT COLUMNS('.*tokens') FROM plan_interval
SELECT * FROM information_schema.tables
SELECT name, aliases FROM duckdb_settings()
SELECT * FROM duckdb_functions() LIMIT 5
SELECT * FROM pragma_table_info('run')
SELECT current_setting('memory_limit')
SELECT * FROM run WHERE false
FROM run
FROM run SELECT run_id
TABLE run
VALUES (1), (2)
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 1000) SELECT max(n) FROM t
PIVOT (SELECT 1 AS a, 2 AS b) ON a IN (1) USING sum(b)
UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b
DESCRIBE run
SHOW TABLES
SUMMARIZE run
EXPLAIN SELECT 1
EXPLAIN ANALYZE SELECT 1
"""
"""Exit code 0."""

ENDLESS = """
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t
SELECT count(*) FROM range(10000000) a(x), range(10000000) b(y) WHERE (x * y) % 7 = 3
SELECT sum(a.x) FROM range(1000000000000) a(x)
SELECT * FROM range(1000000000000)
SELECT x FROM range(2000000000) a(x) ORDER BY hash(x)
SELECT hash(x) AS h, count(*) FROM range(2000000000) a(x) GROUP BY h
SELECT list_sum(range(1, 3000000000))
SELECT length(repeat('a', 3000000000))
SELECT length(string_agg(x::VARCHAR, ',' ORDER BY hash(x))) FROM range(2000000000) a(x)
SELECT sum(s) FROM (SELECT sum(x) OVER (ORDER BY hash(x)) AS s FROM range(2000000000) a(x))
SELECT DISTINCT hash(x) FROM range(2000000000) a(x)
SELECT max(len(list_transform(range(1, 100000000), lambda x: x * 2))) FROM range(1000)
SELECT * FROM plan_interval a, plan_interval b, plan_interval c, plan_interval d, plan_interval e
SELECT count(*) FROM plan_interval a JOIN plan_interval b ON a.interval_start <> b.interval_start, range(100000000)
"""
"""One line, exit code 1, when the time or the memory that it may take is used up."""


def lines_of(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line]
