"""A private, temporary DuckDB in which imported lines become requests, while nobody's lock is held."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from planner.resources import shipped
from planner.store.database import CONFIG

_PARSED = (
    "file_index, line, arrival_us, input_tokens, cached_input_tokens, output_tokens, class, session, block_ids, "
    "sample_weight, block_tokens, reason"
)

_COUNTS = """
SELECT
    count(*) AS rows_read,
    count(*) FILTER (WHERE reason IS NULL) AS rows_imported,
    count(class) FILTER (WHERE reason IS NULL) > 0 AS has_class,
    count(session) FILTER (WHERE reason IS NULL) > 0 AS has_session,
    count(block_ids) FILTER (WHERE reason IS NULL) > 0 AS has_blocks,
    count(DISTINCT coalesce(sample_weight, 1)) FILTER (WHERE reason IS NULL) AS weights,
    any_value(coalesce(sample_weight, 1)) FILTER (WHERE reason IS NULL) AS sample_weight,
    bool_and(session IS NULL OR TRY_CAST(session AS BIGINT) IS NOT NULL) FILTER (WHERE reason IS NULL)
        AS numbered_sessions,
    count(DISTINCT block_tokens) FILTER (WHERE reason IS NULL) AS block_sizes,
    max(block_tokens) FILTER (WHERE reason IS NULL) AS block_tokens
FROM parsed
"""


class Staging:
    """Lines in, requests out: `parse` every file with a reader, then take what was made."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def parse(self, reader: str, file_index: int, batches: Iterable[pa.RecordBatch], params: dict[str, object]) -> None:
        """Run a reader of `sql/readers` over a file's lines. params: what it may need; it takes what it names."""
        text = (shipped("sql") / "readers" / f"{reader}.sql").read_text(encoding="utf-8")
        used = {name: value for name, value in params.items() if f"${name}" in text}
        for batch in batches:
            self._connection.register("lines", pa.Table.from_batches([batch]))
            self._connection.execute(
                f"CREATE OR REPLACE TEMP VIEW raw AS SELECT {file_index} AS file_index, * FROM lines"
            )
            self._connection.execute(f"INSERT INTO parsed SELECT {_PARSED} FROM ({text})", used)
            self._connection.unregister("lines")

    def counts(self) -> dict[str, object]:
        """Rows read and imported, and which optional fields the imported ones have."""
        counts: dict[str, object] = self._connection.sql(_COUNTS).pl().to_dicts()[0]
        return counts

    def classes(self) -> list[str]:
        """Class names, in order; the place in the list is the class_id."""
        rows = self._connection.execute(
            "SELECT DISTINCT coalesce(class, '') AS class FROM parsed WHERE reason IS NULL ORDER BY class"
        ).fetchall()
        return [str(row[0]) for row in rows]

    def rejects(self) -> pl.DataFrame:
        """Refused rows: file_index, line, reason, in file order."""
        rows: pl.DataFrame = self._connection.sql(
            "SELECT file_index, line, reason FROM parsed WHERE reason IS NOT NULL ORDER BY file_index, line"
        ).pl()
        return rows

    def requests(
        self, batch_rows: int, *, with_class: bool, with_session: bool, numbered_sessions: bool
    ) -> pa.RecordBatchReader:
        """Imported requests in arrival order, then file order; block_ids along.

        numbered_sessions: whether sessions are numbers already and keep them.
        """
        classes = "dense_rank() OVER (ORDER BY coalesce(class, '')) - 1"
        ranked = "CASE WHEN session IS NOT NULL THEN dense_rank() OVER (ORDER BY session) - 1 END"
        sessions = "session" if numbered_sessions else ranked
        columns = ["arrival_us", "input_tokens", "cached_input_tokens", "output_tokens", "block_ids"]
        columns += [f"({classes})::SMALLINT AS class_id"] if with_class else []
        columns += [f"({sessions})::BIGINT AS session_id"] if with_session else []
        return self._connection.sql(
            f"SELECT {', '.join(columns)} FROM parsed WHERE reason IS NULL ORDER BY arrival_us, file_index, line"
        ).to_arrow_reader(batch_rows)


@contextmanager
def staging() -> Iterator[Staging]:
    """A staging area that spills to a temporary folder and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="planner-import-") as folder:
        connection = duckdb.connect(":memory:", config={**CONFIG, "temp_directory": str(Path(folder))})
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute((shipped("sql") / "readers" / "_macros.sql").read_text(encoding="utf-8"))
            connection.execute(
                "CREATE TABLE parsed (file_index INTEGER, line BIGINT, arrival_us BIGINT, input_tokens BIGINT, "
                "cached_input_tokens BIGINT, output_tokens BIGINT, class VARCHAR, session VARCHAR, block_ids BIGINT[], "
                "sample_weight BIGINT, block_tokens BIGINT, reason VARCHAR)"
            )
            yield Staging(connection)
        finally:
            connection.close()
