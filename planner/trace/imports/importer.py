"""Importing logs: files in, a stored trace out; what cannot be read is refused row by row, with the reason."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from planner.errors import TraceError, UsageError
from planner.store import Store
from planner.store.staging import ReaderParams, Staging, staging
from planner.trace.documents import ImportAccount
from planner.trace.imports import prometheus, sources
from planner.trace.imports import readers as formats
from planner.trace.imports import requests as request_import
from planner.trace.imports import windows as window_import
from planner.trace.imports.job import UNITS_NS, ImportJob, ImportOptions, clock_of, digest_of, earlier_import
from planner.trace.imports.parse import parse
from planner.trace.imports.unpacking import Log


def import_trace(
    store: Store,
    paths: Sequence[str | Path],
    *,
    format_name: str,
    name: str,
    options: ImportOptions,
    now: datetime,
    version: str,
) -> ImportAccount:
    """Read logs into one stored trace. Rows read = imported + refused; nothing is stored if none can be imported.

    paths: files, folders of files, patterns; or one server's address. format_name: of `formats.readers`, or auto.
    Where the same was imported with the same options under this name, that trace is returned. Raises UsageError for an
    unknown format, TraceError for invalid files.
    """
    if not name.strip():
        raise UsageError("--name is empty; give the trace a name")
    servers = [str(path) for path in paths if prometheus.is_server(str(path))]
    if servers:
        if len(paths) > 1:
            raise UsageError(f"{servers[0]}: is a server; import its counters as a separate trace")
        return _import_counters(store, servers[0], format_name, name=name, options=options, now=now, version=version)
    if format_name != formats.AUTO:
        formats.check_mapping(formats.reader_of(format_name, [], options.columns), options.columns)
    files = sources.expand(paths)
    logs, empty = _with_rows(files.logs)
    reader = formats.reader_of(format_name, logs, options.columns)
    formats.check_mapping(reader, options.columns)
    formats.check_times(reader, options.time_unit, options.time_format)
    if options.draw is not None and not reader.demand:
        raise UsageError(
            f"--draw: format {reader.name} has individual requests, and --draw is for demand per window; leave it out"
        )
    digest = digest_of(reader, options, list(sources.digests(logs).values()))
    job = ImportJob(
        store=store,
        names=tuple(map(str, logs)),
        labels=tuple(log.name for log in logs),
        reader=reader,
        options=options,
        name=name,
        digest=digest,
        now=now,
        version=version,
    )

    def read(stage: Staging) -> ImportAccount:
        if reader.containers == ("folder",):
            for log in logs:
                formats.check_container(log, reader)
            return window_import.store_folders(stage, [log.path for log in logs], job)
        for index, log in enumerate(logs):
            parse(stage, index, log, reader, options)
        return window_import.store(stage, job) if reader.demand else request_import.store(stage, job)

    return replace(_once(job, read), skipped=files.skipped, empty=empty)


def _with_rows(logs: Sequence[Log]) -> tuple[list[Log], tuple[str, ...]]:
    """The logs that have rows, and the names of the others. Raises TraceError where none has.

    A time without requests leaves a file without rows, which is nothing to stop for among others.
    """
    why_empty = {log: why for log in logs if (why := formats.why_empty(log))}
    full = [log for log in logs if log not in why_empty]
    if not full:
        others = f", and neither has one of the {len(logs) - 1:,} other logs" if len(logs) > 1 else ""
        raise TraceError(f"{logs[0]}: {why_empty[logs[0]]}{others}; name a log with at least one row")
    return full, tuple(log.name for log in why_empty)


def _import_counters(
    store: Store, url: str, format_name: str, *, name: str, options: ImportOptions, now: datetime, version: str
) -> ImportAccount:
    """Query a monitoring server for the counters of inference servers. Raises UsageError, TraceError."""
    if options.span is None:
        raise UsageError(f"{url}: is a server; state the time span with --from and --to")
    reader = formats.counter_reader(format_name, url, options.span)
    assert reader.metrics is not None
    counted = prometheus.read_counters(url, reader.metrics, options.span)
    digest = digest_of(reader, options, [counted.digest])
    job = ImportJob(
        store=store,
        names=(url,),
        labels=(url,),
        reader=reader,
        options=options,
        name=name,
        digest=digest,
        now=now,
        version=version,
    )

    def read(stage: Staging) -> ImportAccount:
        epoch = ReaderParams(start_us=0, is_started=False, unit_ns=UNITS_NS["s"])
        stage.parse(reader.query, 0, [counted.batch], epoch)
        return window_import.store(stage, job)

    return _once(job, read)


def _once(job: ImportJob, read: Callable[[Staging], ImportAccount]) -> ImportAccount:
    """The outcome of the same import under this name if there is one; otherwise that of reading."""
    before = earlier_import(job)
    if before and before.trace == job.name:
        return replace(before, known_as=job.name)
    with staging("window" if job.reader.demand else "request", clock_of(job.options)) as stage:
        account = read(stage)
    return replace(account, known_as=before.trace if before else None)
