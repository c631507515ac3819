"""A private, temporary DuckDB in which imported lines become requests, while nobody's lock is held."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
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


class Staging:
    """Lines in, requests out: `parse` every file with a reader, then take what was made."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def parse(self, reader: str, file_index: int, batches: Iterable[pa.RecordBatch], params: dict[str, object]) -> None:
        """Run a reader of `sql/readers` over a file's lines. params: what it may need; it takes what it names."""
        text = _sql(f"readers/{reader}")
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
        counts: dict[str, object] = self._connection.sql(_sql("staging/counts")).pl().to_dicts()[0]
        return counts

    def classes(self) -> list[str]:
        """Class names, in order; the place in the list is the class_id."""
        return [str(row[0]) for row in self._connection.execute(_sql("staging/classes")).fetchall()]

    def rejects(self) -> pl.DataFrame:
        """Refused rows: file_index, line, reason, in file order."""
        rows: pl.DataFrame = self._connection.sql(_sql("staging/rejects")).pl()
        return rows

    def requests(self, columns: Sequence[str], batch_rows: int, *, numbered_sessions: bool) -> pa.RecordBatchReader:
        """Columns of the imported requests in arrival order, then file order.

        numbered_sessions: whether sessions are numbers already and keep them.
        """
        # only the columns asked for are computed: classes and sessions cost a sort each
        query = f"SELECT {', '.join(columns)} FROM ({_sql('staging/requests')}) ORDER BY arrival_us, file_index, line"
        return self._connection.sql(query, params={"numbered_sessions": numbered_sessions}).to_arrow_reader(batch_rows)


@contextmanager
def staging() -> Iterator[Staging]:
    """A staging area that spills to a temporary folder and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="planner-import-") as folder:
        connection = duckdb.connect(":memory:", config={**CONFIG, "temp_directory": str(Path(folder))})
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(_sql("readers/_macros"))
            connection.execute(_sql("staging/parsed"))
            yield Staging(connection)
        finally:
            connection.close()


def _sql(name: str) -> str:
    return (shipped("sql") / f"{name}.sql").read_text(encoding="utf-8")
