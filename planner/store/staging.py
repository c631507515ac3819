"""A private, temporary DuckDB in which imported lines become requests, without a lock on the store."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb
import polars as pl
import pyarrow as pa

from planner.drafts import import_folder
from planner.errors import TraceError
from planner.files import shipped
from planner.store.attached import CONFIG, SESSION
from planner.store.fields import Fields, JsonSource, Types, literal, may_tell_cached, of_table, relation_of, table_of
from planner.store.interrupts import interruptible
from planner.store.local_times import ISO_UTC, LocalClock, install

Lies = Literal["inside", "outside"]
"""Where cached tokens lie: inside the input tokens that a log tells, or outside, where it leaves them out."""
_PIECE_ROWS = 10_000  # that DuckDB reads at a time; measured: 5,000, or whole blocks, take up to a fifth longer
_MOST_TOKENS = {"request": 2_147_483_647, "window": 4_000_000_000_000_000}
"""Most input tokens of a row."""


@dataclass(frozen=True, kw_only=True)
class ReaderParams:
    """The parameters that the queries of readers may use.

    start_us: of time 0. is_started: whether stated, so that numbers count from it. unit_ns: of one unit of arrivals.
    needs_tokens: whether 0 input and output tokens are no request.
    """

    start_us: int
    is_started: bool
    unit_ns: int
    needs_tokens: bool = False


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """Rows that were read, those that can be imported, and those that were not asked for.

    with_cached: imported rows that tell cached tokens. untold: those with some that do not tell where they lie.
    """

    rows_read: int
    rows_imported: int
    rows_left_out: int = 0
    with_cached: int = 0
    untold: int = 0

    @property
    def rows_rejected(self) -> int:
        return self.rows_read - self.rows_imported - self.rows_left_out


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


LEAST_PROOFS = 0.01
"""Share of the rows with cached tokens above which rows that have more of these than of input tokens prove that input
leaves cached tokens out; up to it they are taken for damaged. Assumed: where input leaves them out, most rows of a
conversation have more cached tokens than others."""


@dataclass(frozen=True, kw_only=True)
class Teller:
    """Rows that tell cached tokens alike, as those of one provider do, without telling where they lie.

    teller: its name, or nothing for all of an import. proofs: rows with more cached than input tokens, which prove that
    the one is no part of the other. cached_rows: rows with cached tokens.
    """

    teller: str
    proofs: int
    cached_rows: int

    @property
    def is_outside(self) -> bool:
        """Whether so many rows prove it that they are no damaged ones."""
        return self.proofs > LEAST_PROOFS * self.cached_rows


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
T = TypeVar("T")


class Staging:
    """Lines in, requests or windows out: `parse` every file with a reader, then take its requests or windows."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, folder: Path, rows: str, cached: Lies | None = None
    ) -> None:
        self._connection, self._shown, self.folder = connection, False, folder
        self.tellers: tuple[Teller, ...] = ()
        self._rows, self._cached = rows, cached
        self._decided = self._lines_parsed = self.may_tell_cached = False
        self._base = ""  # table that all rows are in, once they are compared
        self._packed, self._tables = list[str](), list[str]()
        self._may_count = False  # whether times may be numbers
        self._as_moved = "SELECT * FROM parsed_as_read"

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The staging area. Its views are over all rows parsed so far: made when it is used, not with every file."""
        if not self._shown:
            self._shown = True
            self._show()
        return self._connection

    def parse(
        self,
        reader: str,
        file_index: int,
        batches: Iterable[pa.RecordBatch],
        params: ReaderParams,
        source: str | JsonSource = "lines",
    ) -> None:
        """Run a reader of `sql/readers` over a file's rows.

        params: those it may need; it takes those it names. source: what the reader gets, a relation over `lines`.
        Raises MemoryError where a row needs more than there is.
        """
        assert not self._base, "all rows are parsed before they are compared"
        self._lines_parsed, self._may_count, self.may_tell_cached, self._shown = True, True, True, False
        text = _reader(reader, params)
        with _read_ahead((relation_of(source, batch), batch) for batch in batches) as made:
            for relation, run in groupby(made, key=itemgetter(0)):
                self._insert(file_index, text, relation, (batch for _, batch in run))

    def _insert(self, file_index: int, text: str, relation: str, batches: Iterator[pa.RecordBatch]) -> None:
        """Insert what a reader makes of batches, which are made while it runs."""
        faults: list[BaseException] = []

        def pieces() -> Iterator[pa.RecordBatch]:
            # DuckDB takes pieces one by one and reads them at the same time
            try:
                for batch in chain([first], batches):
                    yield from (batch.slice(start, _PIECE_ROWS) for start in range(0, batch.num_rows, _PIECE_ROWS))
            except (Exception, KeyboardInterrupt) as error:
                faults.append(error)
                raise

        first = next(batches)
        self._connection.register("lines", pa.RecordBatchReader.from_batches(first.schema, pieces()))
        rows = f"SELECT {file_index} AS file_index, * FROM {relation}"
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS {rows}")
        try:
            self._connection.execute(f"INSERT INTO parsed_lines BY NAME SELECT * FROM ({text})")
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except duckdb.Error:
            if faults:
                raise faults[0] from None
            raise
        finally:
            self._connection.unregister("lines")

    def parse_parquet(
        self,
        reader: str,
        file_index: int,
        path: Path,
        params: ReaderParams,
        fields: Fields | None,
        *,
        name: str,
        columns: Sequence[str],
    ) -> None:
        """Have a reader run over a Parquet file, which is called name, whenever its rows are needed; nothing is copied.

        fields: what it gets; None for a reader that wants each row as JSON text. columns: as the file has them.
        """
        number = len(self._tables)
        link = self.folder / f"log-{number}.parquet"  # DuckDB would read some names as patterns
        link.symlink_to(path.absolute())
        rows = f"read_parquet({literal(str(link))}, binary_as_string = true, file_row_number = true)"
        self._tables.append(name)
        table = table_of(columns, self._types_of(f"FROM {rows}"))
        if fields:
            selected, fault = of_table(fields, table)
            self.may_tell_cached |= may_tell_cached(fields, list(table))
        else:
            selected, fault = "to_json(planner_row)::VARCHAR AS text", "NULL::VARCHAR"
            self.may_tell_cached = True
        head = f"{file_index} AS file_index, file_row_number + 1 AS line, {fault} AS fault"
        raw = f"SELECT {head}, {selected} FROM {rows} AS planner_row"
        times = {str(kind) for name, kind in self._types_of(raw).items() if name == "arrival"}
        self._may_count |= not times <= {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
        parsed = f"WITH raw AS ({raw}) SELECT * FROM ({_reader(reader, params)}\n)"
        self._packed.append(f"SELECT * FROM ({parsed})")
        self._shown = False

    def _types_of(self, query: str) -> Types:
        with self._reading():
            table = self._connection.sql(f"SELECT * FROM ({query}) LIMIT 0")
            return dict(zip(table.columns, table.types, strict=True))

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
        self._settle()
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

    def first_rejects(self) -> list[tuple[str, int, int, int]]:
        """Reason, refused rows, file index and line of the first of them, the most frequent first."""
        return [
            (str(why), int(rows), int(at), int(line))
            for why, rows, at, line in self._rows_of(_sql("staging/first_rejects"))
        ]

    def first_rows(self) -> list[dict[str, Any]]:
        """The first imported requests or windows, by name of the column."""
        with self._reading():
            frame: pl.DataFrame = self.connection.sql(_sql(f"staging/first_{self._rows}s")).pl()
        return frame.to_dicts()

    def rejects(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Refused rows: file_index, line, reason, in file order."""
        return self._stream(_sql("staging/rejects"), batch_rows)

    def plain_requests(self, batch_rows: int, *, some_left_out: bool) -> Iterator[pa.RecordBatch]:
        """Every row in file order, in one pass: arrival_us and tokens, refused, more (a class and so on).

        Cached tokens only where some may be told, elapsed_us where times may be numbers, and left_out where rows may be
        left out: every column counts where there are many rows. The statistics of Parquet files are trusted, and
        damaged files exceed them: the caller has to check the numbers.
        """
        names = ["arrival_us", "input_tokens", "output_tokens", "refused", "more"]
        more = {"cached_input_tokens": self.may_tell_cached, "elapsed_us": self._may_count, "left_out": some_left_out}
        names += [name for name, is_asked in more.items() if is_asked]
        query = _filled(_sql("staging/plain_requests"), {"decides": self._cached is None and self.may_tell_cached})
        return self._stream(f"SELECT {', '.join(names)} FROM ({query})", batch_rows)

    def requests(self, columns: Sequence[str], batch_rows: int, *, numbered_sessions: bool) -> Iterator[pa.RecordBatch]:
        """Columns of the imported requests in arrival order, then file order.

        numbered_sessions: whether sessions are numbers already, which are kept.
        """
        # only the columns asked for are computed: classes and sessions cost a sort each
        query = f"SELECT {', '.join(columns)} FROM ({_sql('staging/requests')}) ORDER BY arrival_us, file_index, line"
        return self._stream(query, batch_rows, numbered_sessions=numbered_sessions)

    def equal_rows(self) -> tuple[int, int]:
        """Imported rows without an id that equal one before, and those of them that equal one of another file."""
        equal, across = self._rows_of(_sql("staging/equal_rows"))[0]
        return int(equal), int(across)

    def runs(self) -> int:
        """Records that the imported rows are elements of."""
        return int(self._rows_of(_sql("staging/runs"))[0][0])

    def repeated(self) -> pa.Table:
        """Imported rows whose arrival a local clock shows twice, in file order; trend: of their file."""
        with self._reading():
            table: pa.Table = self.connection.sql(_sql("staging/repeated")).to_arrow_table()
        return table

    def move(self, rows: pa.Table) -> None:
        """Take the second moment of these requests, or these times of windows. rows: file_index, line, and so on."""
        self._connection.register("moved_rows", rows)
        self._connection.execute("CREATE OR REPLACE TABLE moved AS SELECT * FROM moved_rows")
        self._connection.unregister("moved_rows")
        self._as_moved = _sql(f"staging/moved_{self._rows}")
        self._shown = False

    def time_gaps(self) -> TimeGaps:
        """How the imported rows follow each other, where their unit of time is open."""
        return TimeGaps(**self.connection.sql(_sql("staging/time_gaps")).pl().row(0, named=True))

    def settle_times(self, params: ReaderParams) -> None:
        """Give times of an open unit the unit and the start of params."""
        self.connection.execute(_filled(_sql("staging/settle_times"), vars(params)))

    def block_sizes(self, sizes: Sequence[int]) -> list[BlockSize]:
        """How well these sizes of prefix blocks, and others that rows suggest, fit the imported rows; best first."""
        found = self.connection.sql(_sql("staging/block_sizes"), params={"sizes": list(sizes)})
        return [BlockSize(**row) for row in found.pl().to_dicts()]

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

    def _settle(self) -> None:
        """Decide what only all rows together tell: where cached tokens lie, which rows repeat or sum up others."""
        if self._decided:
            return
        self._decided = True
        with self._reading():
            # rows that are compared with one another are read once
            has_id, has_parents = self._rows_of(_sql("staging/evidence"))[0] if self._rows == "request" else (0, 0)
            if has_id:
                self.connection.execute("CREATE TABLE kept AS SELECT * FROM told")
                self._base = "kept"
                self._shown = False
            if self._cached is None:
                self.connection.execute(_sql("staging/outside"))
                found = self.connection.execute("SELECT teller, proofs, cached_rows FROM outside ORDER BY teller")
                self.tellers = tuple(
                    Teller(teller=str(name), proofs=int(proofs), cached_rows=int(rows))
                    for name, proofs, rows in found.fetchall()
                )
                self._shown = False
            if has_id:
                self.connection.execute(_filled(_sql("staging/summing"), {"has_parents": bool(has_parents)}))
                self.connection.execute(_sql("staging/settled"))
                self._base = "settled"
                self._shown = False

    def _show(self) -> None:
        """Create the view `parsed` over all parsed rows."""
        parts = " UNION ALL BY NAME ".join(["SELECT * FROM parsed_lines", *self._packed])
        rows = self._base or f"({parts})"
        self._connection.execute(f"CREATE OR REPLACE VIEW told AS {self._as_moved.replace('parsed_as_read', rows)}")
        proven = [literal(teller.teller) for teller in self.tellers if teller.is_outside]
        untold = f"CASE WHEN coalesce(teller, '') IN ({', '.join(proven)}) THEN 'outside' ELSE 'inside' END"
        whole = _sql("staging/whole_input").replace(
            "$untold", untold if proven and self._cached is None else literal(self._cached or "inside")
        )
        whole = whole.replace("$most", str(_MOST_TOKENS[self._rows]))
        is_whole = self._base == "settled" or not self.may_tell_cached
        self._connection.execute(f"CREATE OR REPLACE VIEW parsed AS {'FROM told' if is_whole else whole}")
        self._connection.execute("CREATE OR REPLACE VIEW imported AS SELECT * FROM parsed WHERE reason IS NULL")

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
def staging(rows: str = "request", clock: LocalClock = ISO_UTC, cached: Lies | None = None) -> Iterator[Staging]:
    """A staging area that spills to a temporary folder and leaves nothing behind.

    rows: request or window. clock: how its files tell time. cached: where cached tokens lie in rows that do not tell;
    None to have the rows decide.
    """
    with import_folder() as folder:
        connection = duckdb.connect(":memory:", config={**CONFIG, "memory_limit": "1GB", "temp_directory": str(folder)})
        try:
            connection.execute(SESSION)
            install(connection, clock)
            connection.execute(_sql("readers/_macros"))
            connection.execute(_sql(f"staging/parsed_{rows}"))
            with interruptible(connection):
                yield Staging(connection, folder, rows, cached)
        finally:
            connection.close()


@contextmanager
def _read_ahead(made: Iterator[T]) -> Iterator[Iterator[T]]:
    """What is made, the next one in a thread while one is in use."""
    with ThreadPoolExecutor(1) as pool:

        def ahead() -> Iterator[T]:
            coming = pool.submit(next, made, None)
            while (one := coming.result()) is not None:
                coming = pool.submit(next, made, None)
                yield one

        yield ahead()


def query_text(name: str) -> str:
    """The query of a reader, as it is shipped."""
    return _sql(f"readers/{name}")


def _reader(name: str, params: ReaderParams) -> str:
    """The query of a reader with its parameters filled in, as a view has none."""
    return _filled(query_text(name), vars(params))


def _filled(text: str, params: Mapping[str, object]) -> str:
    """A query with values in place of its parameters."""
    literals = {param: literal(value) for param, value in params.items()}
    return re.sub(r"\$([a-z_]+)", lambda match: literals.get(match[1], match[0]), text)


def _sql(name: str) -> str:
    return (shipped("sql") / f"{name}.sql").read_text(encoding="utf-8").strip().rstrip(";")
