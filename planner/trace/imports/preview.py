"""What an import would do with logs: their format and columns, the first rows, and what it would refuse."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from planner.addresses import is_web_address
from planner.errors import TraceError, UsageError
from planner.store.staging import RowCounts, Staging, staging
from planner.trace.documents import ImportPreview, PreviewedRow, RejectedRows
from planner.trace.imports import rules
from planner.trace.imports.cached import cached_notes
from planner.trace.imports.job import ImportOptions, check_counts, check_elapsed, clock_of
from planner.trace.imports.mapping import LogMapping
from planner.trace.imports.opening import OpenedLogs, open_logs
from planner.trace.imports.parse import has_in, parse_all
from planner.trace.imports.repeated_windows import settle_windows
from planner.trace.imports.requests import told_apart
from planner.trace.imports.told_by_rows import settle
from planner.units import Progress, from_us


def preview(
    paths: Sequence[str | Path],
    *,
    format_name: str,
    options: ImportOptions,
    mapping: LogMapping | None = None,
    progress: Progress | None = None,
) -> ImportPreview:
    """Read logs and store nothing. progress: told how much of them is read.

    Raises UsageError, and TraceError for what is no log.
    """
    if any(is_web_address(str(path)) for path in paths):
        raise UsageError("--dry-run is for files; leave it out, and import a short time from the server")
    opened = open_logs(paths, format_name, options, mapping)
    if opened.reader.containers == ("folder",):
        raise UsageError(f"--dry-run is for files, and {opened.reader.name} reads folders; leave it out")
    kind = "window" if opened.reader.demand else "request"
    with staging(kind, clock_of(opened.options), opened.options.cached) as stage:
        parse_all(stage, opened.logs, opened.reader, opened.options, progress)
        if opened.reader.demand:
            told = settle_windows(stage, opened.options.timezone)
            return _account(stage, opened, stage.window_counts(), told)
        settled = settle(stage, opened.reader, opened.options)
        opened = replace(opened, reader=settled.reader, options=settled.options)
        counts, notes = stage.request_counts(), [*settled.notes]
        if counts.repeated:
            notes += told_apart(stage, opened.options.timezone)
        return _account(stage, opened, counts, notes)


def _account(stage: Staging, opened: OpenedLogs, counts: RowCounts, notes: Sequence[str]) -> ImportPreview:
    options, reader = opened.options, opened.reader
    names = [log.name for log in opened.logs]
    return ImportPreview(
        files=tuple(names),
        format=reader.name,
        columns=_columns(opened),
        constants=dict(options.constants),
        where=dict(options.where),
        rows_read=counts.rows_read,
        rows_imported=counts.rows_imported,
        rows_rejected=counts.rows_rejected,
        rows_left_out=counts.rows_left_out,
        first_rows=tuple(_row(row, names, ZoneInfo(options.timezone)) for row in stage.first_rows()),
        rejects=tuple(
            RejectedRows(reason=reason, rejected=rows, first_file=names[at], first_line=line)
            for reason, rows, at, line in stage.first_rejects()
        ),
        notes=(*notes, *cached_notes(reader, options, counts, stage.tellers)),
        problem=_problem(stage, opened, counts),
        skipped=opened.skipped,
        empty=opened.empty,
    )


def _columns(opened: OpenedLogs) -> dict[str, str]:
    """Where fields are, as far as the first log has them."""
    if opened.reader.record == "text":
        return {}
    has = has_in(opened.logs[0], opened.reader, opened.options)
    sources = rules.fields_of(opened.reader, opened.options).sources
    there = {field: [path for path in paths if has(path)] for field, paths in sources.items()}
    return {
        field: " or ".join(paths) for field, paths in there.items() if paths and field not in opened.options.constants
    }


def _problem(stage: Staging, opened: OpenedLogs, counts: RowCounts) -> str | None:
    """Why the whole would be refused."""
    names = list(map(str, opened.logs))
    try:
        check_counts(counts, stage, opened.reader, opened.options, names)
        check_elapsed(getattr(counts, "least_elapsed_us", None), opened.options, names[0])
    except TraceError as error:
        return str(error).removesuffix("; nothing is stored")
    return None


def _row(row: dict[str, Any], names: Sequence[str], zone: ZoneInfo) -> PreviewedRow:
    is_window = "start_us" in row
    cached = row["cached_input_tokens"]
    return PreviewedRow(
        file=names[row["file_index"]],
        line=row["line"],
        arrival=from_us(row["start_us"] if is_window else row["arrival_us"], zone),
        end=from_us(row["end_us"], zone) if is_window else None,
        requests=row["requests"] if is_window else None,
        input_tokens=int(row["input_tokens"]),
        cached_input_tokens=None if cached is None else int(cached),
        output_tokens=int(row["output_tokens"]),
        class_name=row.get("class"),
        session=row.get("session"),
    )
