"""A private, temporary DuckDB in which imported lines become requests, without a lock on the store."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl
import pyarrow as pa

from planner.errors import TraceError
from planner.files import shipped
from planner.store.attached import CONFIG, SESSION
from planner.store.database import interruptible
from planner.store.local_times import ISO_UTC, LocalClock, install

PARSED = {
    "request": (
        "file_index, line, arrival_us, input_tokens, cached_input_tokens, output_tokens, class, session, parent, "
        "block_ids, sample_weight, block_tokens, second_us, elapsed_us, reason"
    ),
    "window": (
        "file_index, line, start_us, end_us, requests, requests_with_lengths, input_tokens, cached_input_tokens, "
        "output_tokens, elapsed_us, reason"
    ),
}
"""Columns that readers select, of requests and of windows of demand."""


@dataclass(frozen=True, kw_only=True)
class ReaderParams:
    """The parameters that the queries of readers may use.

    start_us: moment of time 0. is_started: whether the user stated it, so that numbers count from it whatever they are.
    unit_ns: nanoseconds per unit of numeric arrivals.
    """

    start_us: int
    is_started: bool
    unit_ns: int


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """Rows that were read, and those that can be imported."""

    rows_read: int
    rows_imported: int

    @property
    def rows_rejected(self) -> int:
        return self.rows_read - self.rows_imported


@dataclass(frozen=True, kw_only=True)
class RequestCounts(RowCounts):
    """The same for requests, and which optional fields the imported ones have.

    Least and largest values are of the imported rows; None where none of them has one. repeated: rows whose arrival a
    local clock shows twice. least_elapsed_us: of arrivals that are numbers.
    """

    has_class: bool = False
    has_session: bool = False
    has_parent: bool = False
    has_blocks: bool = False
    numbered_sessions: bool = False
    sample_weight: int = 1
    largest_sample_weight: int = 1
    smallest_block_tokens: int | None = None
    block_tokens: int | None = None
    repeated: int = 0
    least_elapsed_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class TimeGaps:
    """What tells the unit of times that readers leave open; span and median_gap in millionths of it."""

    rows: int
    has_fraction: bool
    span: int
    median_gap: int


@dataclass(frozen=True, kw_only=True)
class BlockSize:
    """A size of prefix blocks in tokens, and how many rows it fits of those that have blocks.

    least, most: sizes that fit all rows, where least <= most; None where any larger, or smaller, one does.
    """

    size: int
    rows_that_fit: int
    rows: int
    least: int | None
    most: int | None


C = TypeVar("C", bound=RowCounts)


class Staging:
    """Lines in, requests or windows out: `parse` every file with a reader, then take its requests or windows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path, rows: str) -> None:
        self.connection = connection
        self.folder = folder
        self._rows = rows
        self._packed: list[str] = []
        self._tables: list[str] = []
        self._lines_parsed = False
        self._moved = False
        self._show()

    def parse(
        self,
        reader: str,
        file_index: int,
        batches: Iterable[pa.RecordBatch],
        params: ReaderParams,
        keys: Sequence[str] = (),
    ) -> None:
        """Run a reader of `sql/readers` over a file's rows.

        params: those it may need; it takes those it names. keys: to extract from the JSON in the column text first.
        """
        self._lines_parsed = True
        text = _reader(reader, params)
        source = _columns_of_json(keys) if keys else "lines"
        for batch in batches:
            self.connection.register("lines", pa.Table.from_batches([batch]))
            self.connection.execute(
                f"CREATE OR REPLACE TEMP VIEW raw AS SELECT {file_index} AS file_index, * FROM {source}"
            )
            self.connection.execute(f"INSERT INTO parsed_lines SELECT {PARSED[self._rows]} FROM ({text})")
            self.connection.unregister("lines")

    def parse_parquet(
        self,
        reader: str,
        file_index: int,
        path: Path,
        params: ReaderParams,
        sources: Mapping[str, str],
        *,
        name: str,
    ) -> None:
        """Have a reader run over a Parquet file whenever its rows are needed; nothing is copied.

        sources: field -> column of the file, missing ones too; none for a reader that wants each row as JSON text.
        name: what the file is called.
        """
        number = len(self._tables)
        link = self.folder / f"log-{number}.parquet"  # DuckDB would read some names as patterns
        link.symlink_to(path.absolute())
        rows = f"read_parquet({_literal(str(link))}, binary_as_string = true, file_row_number = true)"
        self._tables.append(name)
        with self._reading():
            types = dict(
                self.connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM {rows})").fetchall()
            )
        if sources:
            columns = ", ".join(f"{_typed(column, types)} AS {_name(field)}" for field, column in sources.items())
        else:
            columns = "to_json(log)::VARCHAR AS text"
        head = f"{file_index} AS file_index, file_row_number + 1 AS line, NULL::VARCHAR AS fault"
        raw = f"SELECT {head}, {columns} FROM {rows} AS log"
        parsed = f"WITH raw AS ({raw}) SELECT * FROM ({_reader(reader, params)}\n)"
        self._packed.append(f"SELECT {PARSED[self._rows]} FROM ({parsed})")
        self._show()

    @property
    def in_place(self) -> bool:
        """Whether all files are read where they are, so that the staging area holds nothing."""
        return bool(self._tables) and not self._lines_parsed

    def window_counts(self) -> RowCounts:
        """Numbers of windows read and imported."""
        return self._counted(RowCounts)

    def request_counts(self) -> RequestCounts:
        """Numbers of requests read and imported; conversations are assembled where requests name their predecessor."""
        counts = self._counted(RequestCounts)
        if counts.has_parent:
            with self._reading():
                self.connection.execute(_sql("staging/conversations"))
        return counts

    def _counted(self, kind: type[C]) -> C:
        # a damaged Parquet file may contain values beyond its own statistics: checked values have to be read
        self.connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        with self._reading():
            return kind(**self.connection.sql(_sql(f"staging/{self._rows}_counts")).pl().row(0, named=True))

    def classes(self) -> list[str]:
        """Class names, in order; the place in the list is the class_id."""
        return [str(row[0]) for row in self._rows_of(_sql("staging/classes"))]

    def reasons(self) -> dict[str, int]:
        """Refused rows by reason, the most frequent first."""
        return {str(reason): int(rows) for reason, rows in self._rows_of(_sql("staging/reasons"))}

    def first_reject(self) -> tuple[int, int, str]:
        """File index, line and reason of the first refused row."""
        index, line, reason = self._rows_of(f"{_sql('staging/rejects')} LIMIT 1")[0]
        return int(index), int(line), str(reason)

    def rejects(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Refused rows: file_index, line, reason, in file order."""
        return self._stream(_sql("staging/rejects"), batch_rows)

    def plain_requests(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Every row in file order, in one pass: arrival_us and tokens, refused, more (a class, blocks and so on).

        The statistics of Parquet files are trusted, and damaged files exceed them: the caller has to check the numbers.
        """
        return self._stream(_sql("staging/plain_requests"), batch_rows)

    def requests(self, columns: Sequence[str], batch_rows: int, *, numbered_sessions: bool) -> Iterator[pa.RecordBatch]:
        """Columns of the imported requests in arrival order, then file order.

        numbered_sessions: whether sessions are numbers already, which are kept.
        """
        # only the columns asked for are computed: classes and sessions cost a sort each
        query = f"SELECT {', '.join(columns)} FROM ({_sql('staging/requests')}) ORDER BY arrival_us, file_index, line"
        return self._stream(query, batch_rows, numbered_sessions=numbered_sessions)

    def repeated(self) -> pa.Table:
        """Imported rows whose arrival a local clock shows twice, in file order: file_index, line and both moments."""
        with self._reading():
            table: pa.Table = self.connection.sql(_sql("staging/repeated")).to_arrow_table()
        return table

    def move(self, rows: pa.Table) -> None:
        """Take the second moment of these rows. rows: file_index, line."""
        self.connection.register("moved_rows", rows)
        self.connection.execute("CREATE OR REPLACE TABLE moved AS SELECT * FROM moved_rows")
        self.connection.unregister("moved_rows")
        self._moved = True
        self._show()

    def time_gaps(self) -> TimeGaps:
        """How the imported rows follow each other, where their unit of time is open."""
        return TimeGaps(**self.connection.sql(_sql("staging/time_gaps")).pl().row(0, named=True))

    def settle_times(self, params: ReaderParams) -> None:
        """Give times of an open unit the unit and the start of params."""
        self.connection.execute(_sql("staging/settle_times"), vars(params))

    def block_sizes(self, sizes: Sequence[int]) -> list[BlockSize]:
        """How well these sizes of prefix blocks, and others that rows suggest, fit the imported rows; best first."""
        found = self.connection.sql(_sql("staging/block_sizes"), params={"sizes": list(sizes)}).pl()
        return [BlockSize(**row) for row in found.to_dicts()]

    def settle_blocks(self, block_tokens: int) -> None:
        """Give prefix blocks of an open size this one, and refuse the rows that it does not fit."""
        self.connection.execute(_sql("staging/settle_blocks"), {"block_tokens": block_tokens})

    def number_wide_ids(self) -> bool:
        """Number the ids of prefix blocks from 0 where any is outside the range that is stored; whether any was.

        Ids have a sign or have none: among those that are too large for one, negative ones are refused.
        """
        ((any_negative, any_unsigned),) = self._rows_of(_sql("staging/wide_ids"))
        if any_negative and any_unsigned:
            self.connection.execute(_sql("staging/refuse_negative_ids"))
        if any_negative or any_unsigned:
            self.connection.execute(_sql("staging/number_ids"))
        return bool(any_negative or any_unsigned)

    def windows(self) -> pl.DataFrame:
        """The imported windows, in file order."""
        with self._reading():
            frame: pl.DataFrame = self.connection.sql(_sql("staging/windows")).pl()
        return frame

    def _rows_of(self, query: str) -> list[tuple[Any, ...]]:
        with self._reading():
            rows: list[tuple[Any, ...]] = self.connection.execute(query).fetchall()
        return rows

    def _stream(self, query: str, batch_rows: int, **params: object) -> Iterator[pa.RecordBatch]:
        with self._reading():
            # a result that is not read to its end holds its connection
            yield from self.connection.cursor().sql(query, params=params).to_arrow_reader(batch_rows)

    def _show(self) -> None:
        """Create the view `parsed` over all parsed rows."""
        parts = " UNION ALL ".join(["SELECT * FROM parsed_lines", *self._packed])
        self.connection.execute(f"CREATE OR REPLACE VIEW parsed AS {parts}")
        if self._moved:
            self.connection.execute(_sql("staging/moved").replace("parsed_as_read", f"({parts})"))
        self.connection.execute("CREATE OR REPLACE VIEW imported AS SELECT * FROM parsed WHERE reason IS NULL")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Parquet files are read while queries run, so that is where their errors appear."""
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if not self._tables:
                raise
            broken = re.search(r"log-(\d+)\.parquet", str(error))
            at = self._tables[int(broken[1])] if broken and int(broken[1]) < len(self._tables) else self._tables[-1]
            reason = str(error).splitlines()[0].replace(str(self.folder), "")
            raise TraceError(
                f"{at}: cannot be read as Parquet ({reason[:200]}); check that the file is complete"
            ) from error


@contextmanager
def staging(rows: str = "request", clock: LocalClock = ISO_UTC) -> Iterator[Staging]:
    """A staging area that spills to a temporary folder and leaves nothing behind.

    rows: request or window. clock: how its files tell time.
    """
    with tempfile.TemporaryDirectory(prefix="planner-import-") as folder:
        connection = duckdb.connect(":memory:", config={**CONFIG, "memory_limit": "1GB", "temp_directory": folder})
        try:
            connection.execute(SESSION)
            install(connection, clock)
            connection.execute(_sql("readers/_macros"))
            connection.execute(_sql(f"staging/parsed_{rows}"))
            with interruptible():
                yield Staging(connection, Path(folder), rows)
        finally:
            connection.close()


_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_LISTED = re.compile(r".*\[\d*\]", re.DOTALL)


def _typed(column: str, types: Mapping[str, str]) -> str:
    """A column of a Parquet file as one of the few types that the macros of readers accept."""
    kind, name = types.get(column), _name(column)
    if kind is None:
        return "NULL::VARCHAR"
    if kind.startswith(("STRUCT", "MAP")):
        return f"to_json({name})::VARCHAR"
    if _LISTED.fullmatch(kind):
        return f"array_to_string({name}::VARCHAR[], ' ')"
    if kind.removeprefix("U") in _WHOLE or (kind.startswith("DECIMAL") and kind.endswith(",0)")):
        return f"TRY_CAST({name} AS BIGINT)"
    if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        # what is not a number has no value, and what is infinite is none that can be converted
        return f"CASE WHEN isfinite({name}::DOUBLE) THEN {name}::DOUBLE WHEN NOT isnan({name}::DOUBLE) THEN -1 END"
    if kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
        return f"TRY_CAST({name} AS TIMESTAMPTZ)"
    return f"TRY_CAST({name} AS TIMESTAMP)" if kind.startswith("TIMESTAMP") else f"{name}::VARCHAR"


def _columns_of_json(keys: Sequence[str]) -> str:
    """A relation with a text column for every key of the JSON objects in the column text."""
    columns = ", ".join(f"json_extract_string(entry, {_literal('$.' + _name(key))}) AS {_name(key)}" for key in keys)
    return (
        "(SELECT line, coalesce(fault, CASE WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' "
        f"THEN 'is not a JSON object' END) AS fault, {columns} "
        "FROM (SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM lines))"
    )


def query_text(name: str) -> str:
    """The query of a reader, as it is shipped."""
    return _sql(f"readers/{name}")


def _reader(name: str, params: ReaderParams) -> str:
    """The query of a reader with its parameters filled in, as a view has none."""
    literals = {param: _literal(value) for param, value in vars(params).items()}
    return re.sub(r"\$([a-z_]+)", lambda match: literals.get(match[1], match[0]), query_text(name))


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _sql(name: str) -> str:
    return (shipped("sql") / f"{name}.sql").read_text(encoding="utf-8").strip().rstrip(";")
