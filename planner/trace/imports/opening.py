"""What an import reads, before it reads it: the logs, their format, and how their rows are taken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from planner.errors import NoRequests, UsageError
from planner.trace.imports import readers as formats
from planner.trace.imports import rules, sources, told_by_rows
from planner.trace.imports.job import ImportOptions
from planner.trace.imports.mapping import LogMapping
from planner.trace.imports.readers import Reader
from planner.trace.imports.unpacking import Log
from planner.trace.imports.usage_pages import check_pages


@dataclass(frozen=True, kw_only=True)
class OpenedLogs:
    """Logs with rows and how they are read; names of logs without rows, and of files that are none."""

    logs: Sequence[Log]
    reader: Reader
    options: ImportOptions
    empty: tuple[str, ...]
    skipped: tuple[str, ...]


def open_logs(
    paths: Sequence[str | Path], format_name: str, options: ImportOptions, mapping: LogMapping | None
) -> OpenedLogs:
    """Find logs and tell how they are read. Raises UsageError, TraceError."""
    if format_name != formats.AUTO:
        _check(formats.reader_of(format_name, [], options.columns), options)
    files = sources.expand(paths)
    logs, empty = _with_rows(files.logs)
    reader, options = _reading(format_name, logs, options, mapping)
    if options.draw is not None and not reader.demand:
        raise UsageError(
            f"--draw: format {reader.name} has individual requests, and --draw is for demand per window; leave it out"
        )
    for log in logs:
        check_pages(log, reader.name)
    return OpenedLogs(logs=logs, reader=reader, options=options, empty=empty, skipped=files.skipped)


def _reading(
    format_name: str, logs: Sequence[Log], options: ImportOptions, mapping: LogMapping | None
) -> tuple[Reader, ImportOptions]:
    """The reader of logs, and how it reads them. Raises UsageError, TraceError."""
    if mapping is not None:
        reader = formats.reader_of_mapping(mapping, logs[0])
        options = rules.applied(mapping, options)
    else:
        reader = formats.reader_of(format_name, logs, options.columns, options.constants)
    _check(reader, options)
    options = rules.applied(reader.mapping, options, ready=True) if reader.mapping else options
    return reader, replace(options, times_in=options.times_in or rules.zone_in_names(reader, options))


def _check(reader: Reader, options: ImportOptions) -> None:
    """Raises UsageError for options that have no effect on a format."""
    formats.check_mapping(reader, options.columns)
    formats.check_mapping(reader, options.constants, "--constant")
    formats.check_where(reader, options.where)
    formats.check_times(reader, options.time_unit, options.time_format)
    formats.check_cached(reader, options.cached)
    told_by_rows.check_options(reader, options.block_tokens)


def _with_rows(logs: Sequence[Log]) -> tuple[list[Log], tuple[str, ...]]:
    """The logs that have rows, and the names of the others. Raises NoRequests where none has.

    A time without requests leaves a file without rows, which is nothing to stop for among others.
    """
    why_empty = {log: why for log in logs if (why := formats.why_empty(log))}
    full = [log for log in logs if log not in why_empty]
    if not full:
        others = f", and neither has one of the {len(logs) - 1:,} other logs" if len(logs) > 1 else ""
        raise NoRequests(f"{logs[0]}: {why_empty[logs[0]]}{others}; name a log with at least one row")
    return full, tuple(log.name for log in why_empty)
