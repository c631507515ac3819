"""One import: its files, format and options; and what imports of requests and of windows have in common."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from planner.documents import Document, Maybe, to_json
from planner.errors import NoRequests, TraceError
from planner.store import Store
from planner.store.fields import Refusal
from planner.store.local_times import LocalClock
from planner.store.staging import Lies, ReaderParams, RowCounts, Staging
from planner.store.traces import REJECT_SCHEMA
from planner.trace import stored
from planner.trace.describe import account_for
from planner.trace.documents import Coverage, ImportAccount, RejectedRows
from planner.trace.imports.prometheus import CounterSpan
from planner.trace.imports.readers import Reader
from planner.trace.imports.times import time_reader
from planner.trace.spool import Spool
from planner.units import US_PER_S, counted, iso, to_us

IMPORTER = 5
"""Version of reading: raised whenever the same files and options would give different rows."""
_THIS_CENTURY_US, _NEXT_CENTURY_US = 946_684_800_000_000, 4_102_444_800_000_000
SPOOL_BYTES = 256 << 20
"""Memory for the requests of an import, bytes: with DuckDB's share it stays under 2 GB."""
BATCH_ROWS = 2 * 122_880
"""Whole row groups of DuckDB, which it writes as they come instead of at the end."""
UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How to read logs.

    start: moment that time 0 stands for, where times are relative. is_started: whether the user stated it, so that
    numbers count from it even where they are plausible times since 1970.
    time_unit: of times that are numbers, s, ms, us or ns, None for s. time_format: how times are written, in the
    letters of strptime, None for the usual forms.
    cache_blocks: room of the prefix cache that hits are computed with, None for no limit. columns: field -> column
    or path in the file, or several, of which the first that has a value counts. constants: field -> its value in every
    row. where: column or path -> the values, one of which the rows have that are not left out. records: keys that a
    list of records may be under. each: lists in every record, whose elements are a row each. times_from_first: whether
    arrivals in such a list count from the least. cached: where cached tokens lie in a log that does not tell, inside
    the input tokens or outside; None to have the rows decide. times_in: zone of times without an offset where the log
    has one of its own, None for `timezone`. refusals: which rows are refused for what they tell. zero_where_empty:
    whether a list of `each` without elements tells a window without demand. needs_tokens: whether a row with 0 input
    and 0 output tokens is no request. may_lack: fields of `columns` that the log may be
    without. strict: refuse the whole import if one row is refused. draw: where a log has demand per window, draw one
    request for every so many, None to keep the windows. seed: of the draw. span: the time span to query a server for.
    block_tokens: size of prefix blocks, None for what the rows tell. metrics: field -> names of counters that are added
    up, instead of a format's own. headers, bearer_token_file: sent to a server with every query, and stored nowhere.
    """

    timezone: str
    start: datetime
    is_started: bool = False
    time_unit: str | None = None
    time_format: str | None = None
    cache_blocks: int | None = None
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    records: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    times_from_first: bool = False
    cached: Lies | None = None
    times_in: str | None = None
    refusals: tuple[Refusal, ...] = ()
    zero_where_empty: bool = False
    needs_tokens: bool = False
    may_lack: frozenset[str] = frozenset()
    strict: bool = False
    draw: int | None = None
    seed: int = 1
    span: CounterSpan | None = None
    block_tokens: int | None = None
    metrics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Sequence[str] = field(default=(), repr=False)
    bearer_token_file: Path | None = None

    @property
    def unit(self) -> str:
        """The unit of times that are numbers."""
        return self.time_unit or "s"


@dataclass(frozen=True, kw_only=True)
class ReadingArguments(Document):
    """The options that affect what is read; they are part of a trace's digest."""

    timezone: str
    start: str
    is_started: Maybe[bool] = None
    time_unit: str
    time_format: Maybe[str] = None
    cache_blocks: int | None
    columns: dict[str, str]
    """Field -> column or path; of several, with " or " between."""
    constants: Maybe[dict[str, str]] = None
    where: Maybe[dict[str, tuple[str, ...]]] = None
    records: Maybe[tuple[str, ...]] = None
    each: Maybe[tuple[str, ...]] = None
    times_from_first: Maybe[bool] = None
    cached: Maybe[Lies] = None
    times_in: Maybe[str] = None
    refuse: Maybe[tuple[str, ...]] = None
    """Path and pattern of rows that are refused, with " matches " between, and the reason."""
    draw: int | None
    seed: int | None
    span: CounterSpan | None
    block_tokens: Maybe[int] = None
    metrics: Maybe[dict[str, tuple[str, ...]]] = None


@dataclass(frozen=True, kw_only=True)
class ImportArguments(ReadingArguments):
    """What is stored of how an imported trace was made."""

    files: tuple[str, ...]
    coverage: Maybe[Coverage] = None
    rows_left_out: Maybe[int] = None
    """Rows that were not asked for."""
    notes: Maybe[tuple[str, ...]] = None
    """What the user was told of how the log was read."""


@dataclass(frozen=True, kw_only=True)
class ImportJob:
    """One import: what is read, how, and what it will be called.

    names: of what is read, for messages. labels: the same in short, as they are stored. notes: what the user is to know
    of the logs before they are read.
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
    notes: tuple[str, ...] = ()


def check_rows(counts: RowCounts, stage: Staging, job: ImportJob, names: Sequence[str]) -> None:
    """Raises TraceError where no row was read, none can be imported, or strict is set and some cannot be.

    names: of what was parsed, in order.
    """
    check_counts(counts, stage, job.reader, job.options, names)


def check_counts(
    counts: RowCounts, stage: Staging, reader: Reader, options: ImportOptions, names: Sequence[str]
) -> None:
    """The same where nothing is to be stored."""
    if not counts.rows_read:
        raise NoRequests(f"{names[0]}: has no row below its header; name a log with at least one row")
    if counts.rows_left_out == counts.rows_read:
        raise TraceError(
            f"{names[0]} as {reader.name}: all {counts.rows_read:,} rows are left out by "
            f"{conditions_of(options)}; check its columns and values; nothing is stored"
        )
    if counts.rows_rejected and (options.strict or not counts.rows_imported):
        index, line, reason = stage.first_reject()
        are = "row is" if counts.rows_rejected == 1 else "rows are"
        what = f"{counts.rows_rejected:,} {are} refused" if counts.rows_imported else "no row can be imported"
        cure = "correct it, or leave out --strict" if counts.rows_imported else _cure_of(reason, reader, options)
        raise TraceError(
            f"{names[index]} as {reader.name}: {what}, the first at line {line} ({reason}); {cure}; nothing is stored"
        )


def _cure_of(reason: str, reader: Reader, options: ImportOptions) -> str:
    """What may help where every row is refused, the first for this reason."""
    cure = "check the file and the --format"
    if reason.endswith("is not a time") and reader.takes_texts and options.time_format is None:
        return f"say how times are written, as --time-format '%d.%m.%Y %H:%M:%S', or {cure}"
    if "is not a whole number" in reason:
        return f"{cure}; numbers are read as 1234, 1,234 or 1 234, and no comma is read as a decimal point"
    return cure


def conditions_of(options: ImportOptions) -> str:
    """What rows have to have to be read, as options of the command."""
    return " ".join(f"--where {path}={value}" for path, values in options.where.items() for value in values)


def left_out_notes(counts: RowCounts, job: ImportJob) -> list[str]:
    """What the user is to know of rows that were not asked for."""
    if not counts.rows_left_out:
        return []
    return [f"{counted(counts.rows_left_out, 'row')} left out by {conditions_of(job.options)}"]


def check_numbers(least_elapsed_us: int | None, job: ImportJob) -> None:
    """Check times that are numbers. Raises TraceError as `check_elapsed` does."""
    check_elapsed(least_elapsed_us, job.options, job.names[0])


def check_elapsed(least_elapsed_us: int | None, options: ImportOptions, name: str) -> None:
    """Check times that are numbers.

    least_elapsed_us: the least of them, None where there are none. Raises TraceError where they are times since 1970 in
    another unit, unless both the unit and what they count from are stated.
    """
    is_stated = options.is_started and options.time_unit is not None
    if least_elapsed_us is None or is_stated or _is_plausible(least_elapsed_us):
        return
    number_ns = least_elapsed_us * 1000
    for unit, unit_ns in UNITS_NS.items():
        since_1970_us = number_ns * unit_ns // UNITS_NS[options.unit] // 1000
        if unit != options.unit and _is_plausible(since_1970_us):
            at = datetime.fromtimestamp(since_1970_us / US_PER_S, UTC)
            raise TraceError(
                f"{name}: its times are numbers that are no times since 1970 in {options.unit}, and as {unit} "
                f"begin on {at:%Y-%m-%d}; give --time-unit {unit}"
            )


def time_notes(first_us: int, least_elapsed_us: int | None, job: ImportJob) -> list[str]:
    """What the user is to know of the start that relative times count from, and of the zone of times without an offset.

    first_us: the first time, microseconds since 1970. least_elapsed_us: of times that are numbers, None without any.
    """
    if not job.options.is_started and first_us < _THIS_CENTURY_US and not to_us(job.options.start):
        if job.reader.takes_any_time and least_elapsed_us is None:
            year = datetime.fromtimestamp(first_us / US_PER_S, UTC).year
            return [f"the first request is of {year}, from where on the trace covers all time: check for stray dates"]
        return ["times count from a start that is not known: the trace begins in 1970; state it with --start"]
    if job.options.is_started and job.reader.takes_any_time and least_elapsed_us is None:
        return ["--start has no effect: the log has no times that are numbers"]
    zone, usual = job.options.timezone, job.reader.times_in
    if usual not in (None, zone):
        return [
            f"times without an offset are read in {zone}, and what writes {job.reader.name} logs writes them in "
            f"{usual}: leave --timezone out, unless they were changed on the way"
        ]
    return []


def _is_plausible(since_1970_us: int) -> bool:
    """Whether a number is a time of this century, which is what logs have."""
    return _THIS_CENTURY_US <= since_1970_us < _NEXT_CENTURY_US


def covered_us(job: ImportJob, start_us: int, end_us: int) -> tuple[int, int]:
    """The time that a log covers: what --from and --to name, or else that of its rows, from start_us to end_us.

    Raises TraceError for rows beyond what is named.
    """
    span = job.options.span
    if span is None or job.reader.metrics is not None:
        return start_us, end_us
    named = span.start_s * US_PER_S, span.end_s * US_PER_S
    if start_us < named[0] or end_us > named[1]:
        raise TraceError(
            f"{job.names[0]}: has demand from {iso(start_us)} to {iso(end_us)}, and --from and --to name the time that "
            f"the log covers, {iso(named[0])} to {iso(named[1])}; widen them, or leave them out"
        )
    return named


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
    return ReaderParams(
        start_us=to_us(options.start),
        is_started=options.is_started,
        unit_ns=UNITS_NS[options.unit],
        needs_tokens=options.needs_tokens,
    )


def clock_of(options: ImportOptions) -> LocalClock:
    """How the logs tell time."""
    return LocalClock(
        options.times_in or options.timezone, time_reader(options.time_format), reads_iso=options.time_format is None
    )


def settings_of(job: ImportJob, counts: RowCounts, coverage: Coverage | None = None, notes: Sequence[str] = ()) -> str:
    """The arguments that made a trace, as JSON for the store."""
    arguments = ImportArguments(
        **vars(_reading(job.options)),
        files=job.labels,
        coverage=coverage,
        rows_left_out=counts.rows_left_out or None,
        notes=tuple(notes) or None,
    )
    return json.dumps(to_json(arguments))


def _reading(options: ImportOptions) -> ReadingArguments:
    return ReadingArguments(
        timezone=options.timezone,
        start=str(options.start),
        is_started=options.is_started or None,
        time_unit=options.unit,
        time_format=options.time_format,
        cache_blocks=options.cache_blocks,
        columns={name: path if isinstance(path, str) else " or ".join(path) for name, path in options.columns.items()},
        constants=dict(options.constants) or None,
        where=dict(options.where) or None,
        records=options.records or None,
        each=options.each or None,
        times_from_first=options.times_from_first or None,
        cached=options.cached,
        times_in=options.times_in,
        refuse=tuple(f"{one.path} matches {one.pattern}: {one.reason}" for one in options.refusals) or None,
        draw=options.draw,
        seed=options.seed if options.draw else None,
        span=options.span,
        block_tokens=options.block_tokens,
        metrics={field: tuple(names) for field, names in options.metrics.items()} or None,
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
