"""Users' own queries: read-only, one statement, with access to the store only, within limits of time and memory."""

import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from planner.errors import QueryError
from planner.store.damage import told_of_damage
from planner.store.database import Store, locked_down
from planner.store.interrupts import Stopper, interruptible
from planner.store.published import LEFT_OUT_OF_COPY
from planner.store.turns import LET_GO_S, give_way, is_awaited

_ALLOWED = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_VARIANT = "arrow.parquet.variant"
_BATCH_ROWS = 20_000
_MIB = 1 << 20
_BESIDE_MIB = 1000
"""What a process with DuckDB and polars may need beside a query and its result. Measured: up to 400 MiB."""
_LONGEST_MESSAGE = 500
"""Characters of a message: DuckDB repeats words of the query, however long they are."""
UNPRINTABLE = "a type that cannot be printed, such as INTERVAL; cast it to VARCHAR in the query"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a query may take. timeout_s: None for as long as it wants. memory_mib: and its result as much again."""

    timeout_s: float | None = None
    memory_mib: int = 1500


def default_memory_mib() -> int:
    """What every connection to a store may take, or half of the machine's memory where that is less."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(Limits.memory_mib, max(pages // 2 // _MIB, 1))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a query. frame: the first ones. total: how many there are."""

    frame: pl.DataFrame
    total: int


def query(
    store: Store,
    sql: str,
    params: Mapping[str, int | str] | None = None,
    *,
    limits: Limits | None = None,
    most_rows: int | None = None,
    of_copy: bool = False,
) -> Rows:
    """The rows of one SELECT. No files, network, extensions, environment, settings, spill or temporary tables.

    The store is let go before this returns, and a few seconds after another process begins to wait to write it; the
    query is stopped then. most_rows: those that are kept; None for all. of_copy: whether the store is
    a published copy, which has no requests.

    Raises QueryError for anything else, for what DuckDB refuses and for what exceeds the limits, StoreMissing where
    there is no store.
    """
    store.require()
    limits = limits or Limits()
    give_way(store.path, store.wait_s)
    with store.read():
        pass  # brings an older store to this schema before it is opened read-only
    stopper = Stopper(_Patience(store.path, limits.timeout_s))
    with _bounded(limits.memory_mib):
        try:
            with (
                told_of_damage(store.path, of_user=True),
                locked_down(store.path, memory_mib=limits.memory_mib) as connection,
                stopper,  # its time begins once nobody else has the store
                interruptible(connection, may_be_cut=True),
            ):
                _check(connection, sql, of_copy=of_copy)
                return _rows(connection, sql, dict(params or {}), limits, most_rows)
        except KeyboardInterrupt:
            if stopper.reason:
                raise QueryError(stopper.reason) from None
            raise
        except (MemoryError, duckdb.Error, OSError) as error:
            # Arrow passes on what comes up in a stream as an OSError
            if isinstance(error, MemoryError | duckdb.OutOfMemoryException) or "Out of Memory Error" in str(error):
                raise QueryError(
                    f"the query needs more than --memory-limit {limits.memory_mib} (MiB); narrow it, or raise the limit"
                ) from error
            raise QueryError(_one_line(error)) from error
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException) as error:
            raise QueryError(f"the result contains {UNPRINTABLE}") from error


class _Patience:
    """Tells why a query is to be stopped: it took too long, or another process has waited to write the store."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._awaited_at_s: float | None = None

    def __call__(self, ran_s: float) -> str | None:
        if self._timeout_s is not None and ran_s >= self._timeout_s:
            return (
                f"the query was stopped after --timeout {self._timeout_s:g} s; narrow it, or give it more time with "
                "--timeout"
            )
        if not is_awaited(self._path):
            self._awaited_at_s = None
        elif self._awaited_at_s is None:
            self._awaited_at_s = ran_s
        elif ran_s - self._awaited_at_s >= LET_GO_S:
            return (
                f"the query was stopped after {ran_s:.0f} s, because another process waits to write {self._path}; "
                "narrow it, or run it again when that has ended"
            )
        return None


def _check(connection: duckdb.DuckDBPyConnection, sql: str, *, of_copy: bool) -> None:
    """Raises QueryError where it is not one statement that reads, or reads what the copy does not have."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in _ALLOWED:
        raise QueryError("only one SELECT, DESCRIBE, SUMMARIZE or EXPLAIN at a time; the store is read-only here")
    if not of_copy:
        return
    try:
        # a database without views tells their names, not those of the tables behind them
        with closing(duckdb.connect(":memory:")) as nothing:
            named = {name.lower() for name in nothing.get_table_names(sql)}
    except duckdb.Error:
        return  # what is wrong with it is said when it runs
    if missing := sorted(named & LEFT_OUT_OF_COPY):
        raise QueryError(f"the published copy leaves out {', '.join(missing)}; read the store itself with --live")


def _rows(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    params: Mapping[str, int | str],
    limits: Limits,
    most_rows: int | None,
) -> Rows:
    relation = connection.sql(sql, params=params)
    if relation is None:
        return Rows(frame=pl.DataFrame(), total=0)
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    frames, total, room = [_frame(reader.schema.empty_table())], 0, limits.memory_mib * _MIB
    for batch in reader:
        wanted = batch if most_rows is None else batch.slice(0, max(most_rows - total, 0))
        total += batch.num_rows
        room -= wanted.nbytes
        if room < 0:
            raise MemoryError
        if wanted.num_rows:
            frames.append(_frame(pa.Table.from_batches([wanted])))
    return Rows(frame=pl.concat(frames), total=total)


def _frame(table: pa.Table) -> pl.DataFrame:
    for column, name in zip(table.columns, table.column_names, strict=True):
        if _is_far(column):
            raise QueryError(
                f'column "{name}" has a date outside the years 1 to 9999, such as infinity; cast it to VARCHAR in the '
                "query"
            )
    frame = pl.from_arrow(table.rename_columns(_distinct(table.column_names)))
    assert isinstance(frame, pl.DataFrame)
    if any(_VARIANT in repr(kind) for kind in frame.dtypes):
        raise QueryError(f"the result contains {UNPRINTABLE}")
    return frame


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, with a number where one comes again."""
    distinct = list[str]()
    for name in names:
        numbered = (name if number == 0 else f"{name}_{number}" for number in count())
        distinct.append(next(each for each in numbered if each not in distinct))
    return distinct


_UNITS_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""The years 1 to 9999 in days since 1970: what Python, and so JSON and tables here, can tell."""


def _is_far(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether any date in it, at any depth, is none of Python's."""
    kind = column.type
    if pa.types.is_map(kind):
        return any(_is_far(part) for each in _chunks(column) for part in (each.keys, each.items))
    if pa.types.is_union(kind) or pa.types.is_interval(kind):
        raise QueryError(f"the result contains {UNPRINTABLE}")
    if pa.types.is_struct(kind):
        return any(_is_far(part) for each in _chunks(column) for part in each.flatten())
    if pa.types.is_nested(kind):
        return any(_is_far(each.flatten()) for each in _chunks(column))
    if pa.types.is_date32(kind):
        per_day, numbers = 1, pa.int32()
    elif pa.types.is_timestamp(kind):
        per_day, numbers = _UNITS_PER_DAY[kind.unit], pa.int64()
    else:
        return False
    bounds = pc.min_max(column.cast(numbers)).as_py()
    least, most = bounds["min"], bounds["max"]
    return least is not None and (least < _FIRST_DAY * per_day or most >= (_LAST_DAY + 1) * per_day)


def _chunks(column: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    return list(column.chunks) if isinstance(column, pa.ChunkedArray) else [column]


@contextmanager
def _bounded(memory_mib: int) -> Iterator[None]:
    """Limit what this process can allocate: DuckDB does not count one huge value, such as a list, as memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + (2 * memory_mib + _BESIDE_MIB) * _MIB
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """What this process has allocated so far; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _one_line(error: Exception) -> str:
    """DuckDB's message up to the first blank line, after which it marks the position in the query; its beginning."""
    text = " ".join(str(error).split("\n\n")[0].split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."
