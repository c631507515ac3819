"""Importing logs: files in, a stored trace out; what cannot be read is refused row by row, with the reason."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from planner.addresses import is_web_address
from planner.errors import UsageError
from planner.store import Store
from planner.store.staging import ReaderParams, Staging, staging
from planner.trace.documents import ImportAccount
from planner.trace.imports import counters, prometheus, sources
from planner.trace.imports import readers as formats
from planner.trace.imports import requests as request_import
from planner.trace.imports import windows as window_import
from planner.trace.imports.job import UNITS_NS, ImportJob, ImportOptions, clock_of, digest_of, earlier_import
from planner.trace.imports.mapping import LogMapping
from planner.trace.imports.opening import open_logs
from planner.trace.imports.pages import page_notes
from planner.trace.imports.parse import parse_all
from planner.units import Progress


def import_trace(
    store: Store,
    paths: Sequence[str | Path],
    *,
    format_name: str,
    name: str,
    options: ImportOptions,
    now: datetime,
    version: str,
    mapping: LogMapping | None = None,
    progress: Progress | None = None,
) -> ImportAccount:
    """Read logs into one stored trace. Rows read = imported + refused; nothing is stored if none can be imported.

    paths: files, folders of files, patterns; or one server's address. format_name: of `formats.readers`, or auto.
    mapping: the user's own, which says the format too. progress: told how much of the files is read.
    Where the same was imported with the same options under this name, that trace is returned. Raises UsageError for an
    unknown format, TraceError for invalid files.
    """
    if not name.strip():
        raise UsageError("--name is empty; give the trace a name")
    servers = [str(path) for path in paths if is_web_address(str(path))]
    if servers:
        if len(paths) > 1:
            shown = prometheus.server_at(servers[0]).shown
            raise UsageError(f"{shown}: is a server; import its counters as a separate trace")
        return _import_counters(store, servers[0], format_name, name=name, options=options, now=now, version=version)
    _check_no_server(options)
    opened = open_logs(paths, format_name, options, mapping)
    logs, reader, options = opened.logs, opened.reader, opened.options
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
        notes=page_notes(logs),
    )

    def read(stage: Staging) -> ImportAccount:
        if reader.containers == ("folder",):
            for log in logs:
                formats.check_container(log, reader)
            return window_import.store_folders(stage, [log.path for log in logs], job)
        parse_all(stage, logs, reader, options, progress)
        return window_import.store(stage, job) if reader.demand else request_import.store(stage, job)

    return replace(_once(job, read), skipped=opened.skipped, empty=opened.empty)


def _check_no_server(options: ImportOptions) -> None:
    """Raises UsageError for options that only a server's counters can follow."""
    stated = {
        "--metric": options.metrics,
        "--header": options.headers,
        "--bearer-token-file": options.bearer_token_file,
    }
    for option, value in stated.items():
        if value:
            raise UsageError(f"{option}: is for counters of a server, and files are read; leave it out")


def _import_counters(
    store: Store, url: str, format_name: str, *, name: str, options: ImportOptions, now: datetime, version: str
) -> ImportAccount:
    """Query a monitoring server for the counters of inference servers. Raises UsageError, TraceError."""
    server = prometheus.server_at(url, options.headers, options.bearer_token_file)
    if options.span is None:
        raise UsageError(f"{server.shown}: is a server; state the time span with --from and --to")
    reader = formats.counter_reader(format_name, server, options.span, options.metrics)
    formats.check_cached(reader, options.cached)
    counted = prometheus.read_counters(server, counters.with_own(reader.counters, options.metrics), options.span)
    digest = digest_of(reader, options, [counted.digest])
    job = ImportJob(
        store=store,
        names=(server.shown,),
        labels=(server.shown,),
        reader=reader,
        options=options,
        name=name,
        digest=digest,
        now=now,
        version=version,
        notes=counted.notes,
    )

    def read(stage: Staging) -> ImportAccount:
        epoch = ReaderParams(start_us=0, is_started=False, unit_ns=UNITS_NS["s"])
        # what counters count as input holds what was written to caches
        batch = counted.batch.append_column(
            "cache_creation_input_tokens", pa.nulls(counted.batch.num_rows, pa.string())
        )
        stage.parse(reader.query, 0, [batch], epoch)
        return window_import.store(stage, job)

    return _once(job, read)


def _once(job: ImportJob, read: Callable[[Staging], ImportAccount]) -> ImportAccount:
    """The outcome of the same import under this name if there is one; otherwise that of reading."""
    before = earlier_import(job)
    if before and before.trace == job.name:
        return replace(before, known_as=job.name)
    with staging("window" if job.reader.demand else "request", clock_of(job.options), job.options.cached) as stage:
        account = read(stage)
    return replace(account, known_as=before.trace if before else None)
