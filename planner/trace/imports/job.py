"""One import: its files, format and options; and what imports of requests and of windows have in common."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from planner.documents import Document, Maybe, to_json
from planner.errors import TraceError
from planner.store import Store
from planner.store.staging import ReaderParams, RowCounts, Staging
from planner.store.traces import REJECT_SCHEMA
from planner.trace import stored
from planner.trace.describe import account_for
from planner.trace.documents import Coverage, ImportAccount, RejectedRows
from planner.trace.imports.prometheus import CounterSpan
from planner.trace.imports.readers import Reader
from planner.trace.spool import Spool
from planner.units import US_PER_S, to_us

IMPORTER = 3
"""Version of reading: raised whenever the same files and options would give different rows."""
SPOOL_BYTES = 256 << 20
"""Memory for the requests of an import, bytes: with DuckDB's share it stays under 2 GB."""
BATCH_ROWS = 2 * 122_880
"""Whole row groups of DuckDB, which it writes as they come instead of at the end."""
UNITS_US = {"s": US_PER_S, "ms": 1_000, "us": 1}


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How to read logs.

    start: moment that time 0 stands for, where times are relative. time_unit: of numeric arrivals, s, ms or us.
    cache_blocks: room of the prefix cache that hits are computed with, None for no limit. columns: field -> column
    name in the file. strict: refuse the whole import if one row is refused. draw: where a log has demand per window,
    draw one request for every so many, None to keep the windows. seed: of the draw. span: the time span to query a
    server for.
    """

    timezone: str
    start: datetime
    time_unit: str = "s"
    cache_blocks: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    draw: int | None = None
    seed: int = 1
    span: CounterSpan | None = None


@dataclass(frozen=True, kw_only=True)
class ReadingArguments(Document):
    """The options that affect what is read; they are part of a trace's digest."""

    timezone: str
    start: str
    time_unit: str
    cache_blocks: int | None
    columns: dict[str, str]
    draw: int | None
    seed: int | None
    span: CounterSpan | None


@dataclass(frozen=True, kw_only=True)
class ImportArguments(ReadingArguments):
    """What is stored of how an imported trace was made."""

    files: tuple[str, ...]
    coverage: Maybe[Coverage] = None


@dataclass(frozen=True, kw_only=True)
class ImportJob:
    """One import: what is read, how, and what it will be called.

    names: of what is read, for messages. labels: the same in short, as they are stored.
    """

    store: Store
    names: tuple[str, ...]
    labels: tuple[str, ...]
    reader: Reader
    options: ImportOptions
    name: str
    digest: str
    now: datetime
    version: str


def check_rows(counts: RowCounts, stage: Staging, job: ImportJob, names: Sequence[str]) -> None:
    """Raises TraceError where no row was read, none can be imported, or strict is set and some cannot be.

    names: of what was parsed, in order.
    """
    if not counts.rows_read:
        raise TraceError(f"{job.names[0]}: has no row below its header; name a log with at least one row")
    if counts.rows_rejected and (job.options.strict or not counts.rows_imported):
        index, line, reason = stage.first_reject()
        what = f"{counts.rows_rejected:,} rows are refused" if counts.rows_imported else "no row can be imported"
        cure = "correct it, or leave out --strict" if counts.rows_imported else "check the file and the --format"
        raise TraceError(
            f"{names[index]} as {job.reader.name}: {what}, the first at line {line} ({reason}); {cure}; "
            "nothing is stored"
        )


@contextmanager
def rejects_of(stage: Staging, job: ImportJob, labels: Sequence[str], *, any_refused: bool) -> Iterator[Spool]:
    """Refused rows with the names of their files. labels: of what was parsed, in order."""
    files_named = pa.array(labels)
    with Spool(REJECT_SCHEMA, job.store.path.parent, SPOOL_BYTES) as rejects:
        for batch in stage.rejects(BATCH_ROWS) if any_refused else ():
            files = files_named.take(batch.column("file_index"))
            rejects.write(pa.record_batch([files, batch.column("line"), batch.column("reason")], schema=REJECT_SCHEMA))
        yield rejects


def params_of(options: ImportOptions) -> ReaderParams:
    """The parameters of readers' queries."""
    return ReaderParams(timezone=options.timezone, start_us=to_us(options.start), unit_us=UNITS_US[options.time_unit])


def settings_of(job: ImportJob, coverage: Coverage | None = None) -> str:
    """The arguments that made a trace, as JSON for the store."""
    return json.dumps(to_json(ImportArguments(**vars(_reading(job.options)), files=job.labels, coverage=coverage)))


def _reading(options: ImportOptions) -> ReadingArguments:
    return ReadingArguments(
        timezone=options.timezone,
        start=str(options.start),
        time_unit=options.time_unit,
        cache_blocks=options.cache_blocks,
        columns=dict(options.columns),
        draw=options.draw,
        seed=options.seed if options.draw else None,
        span=options.span,
    )


def digest_of(reader: Reader, options: ImportOptions, contents: Sequence[str]) -> str:
    """What identifies an imported trace: the bytes read, the format, the options and the way of reading."""
    identity = [IMPORTER, reader.name, to_json(_reading(options)), list(contents)]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def earlier_import(job: ImportJob) -> ImportAccount | None:
    """The outcome of the same import made before, if any. Raises TraceError where the name is taken by something else.

    Failing here saves the work; `stored.add` checks again when it stores.
    """
    if not job.store.path.exists():
        return None
    with job.store.read() as session:
        trace = stored.by_digest(session, job.digest)
        if trace is None or trace.name != job.name:
            stored.require_free_name(session, job.name)
        if trace is None:
            return None
        rejects = session.records("trace_rejects", RejectedRows, trace_id=trace.trace_id)
    return account_for(trace, {row.reason: row.rejected for row in rejects})
