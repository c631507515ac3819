"""Imports of demand per window: kept as windows, or drawn as requests that each stand for several."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from planner.errors import NoRequests, TraceError
from planner.store.staging import Staging
from planner.trace import stored, windows
from planner.trace.describe import account_for, unknown_notes
from planner.trace.documents import Coverage, ImportAccount, LengthCoverage
from planner.trace.imports import servegen, servegen_draw
from planner.trace.imports.cached import cached_notes
from planner.trace.imports.job import (
    SPOOL_BYTES,
    ImportJob,
    check_numbers,
    check_rows,
    covered_us,
    left_out_notes,
    params_of,
    rejects_of,
    settings_of,
    time_notes,
)
from planner.trace.imports.repeated_windows import settle_windows
from planner.trace.imports.servegen import Client
from planner.trace.spool import Spool
from planner.trace.stored import Draft
from planner.trace.windows import DemandWindows
from planner.units import to_us


@dataclass(frozen=True, kw_only=True)
class _Parsed:
    """Windows that were parsed.

    names, labels: of what was parsed, in order. draw: batches of `schema` with one request for every `weight` of them.
    classes: of the drawn requests. notes: what the user is to know.
    """

    names: Sequence[str]
    labels: Sequence[str]
    windows: DemandWindows
    coverage: Coverage
    schema: pa.Schema
    draw: Callable[[int], Iterator[pa.RecordBatch]]
    classes: tuple[str, ...] = ()
    notes: Sequence[str] = ()


def store(stage: Staging, job: ImportJob) -> ImportAccount:
    """Store parsed windows as a trace. Raises TraceError."""
    told = settle_windows(stage, job.options.timezone)
    rows = _rows(stage, job, job.names)
    counts = stage.window_counts()
    least_us: int | None = rows["elapsed_us"].min()  # type: ignore[assignment]
    check_numbers(least_us, job)
    demand = windows.windows_of(rows, job.names[0])

    def draw(weight: int) -> Iterator[pa.RecordBatch]:
        return windows.draw_evenly(demand, weight, job.options.seed)

    parsed = _Parsed(
        names=job.names,
        labels=job.labels,
        windows=demand,
        coverage=_coverage(demand),
        schema=windows.EVEN_SCHEMA,
        draw=draw,
        notes=[
            *told,
            *time_notes(int(demand.start_us[0]), least_us, job),
            *cached_notes(job.reader, job.options, counts, stage.tellers),
        ],
    )
    return _store(stage, job, parsed)


def store_folders(stage: Staging, folders: Sequence[Path], job: ImportJob) -> ImportAccount:
    """Store ServeGen folders as one trace. Raises TraceError."""
    clients = [client for folder in folders for client in servegen.clients_of(folder)]
    for index, client in enumerate(clients):
        stage.parse(job.reader.query, index, servegen.batches(client), params_of(job.options))
    names = [str(client.rates) for client in clients]
    rows = _rows(stage, job, names)
    start_us = to_us(job.options.start)

    def draw(weight: int) -> Iterator[pa.RecordBatch]:
        return servegen_draw.draw(rows, clients, start_us, weight, job.options.seed)

    parsed = _Parsed(
        names=names,
        labels=[client.rates.name for client in clients],
        windows=windows.windows_of(rows, job.names[0]),
        coverage=servegen.coverage(rows, clients, start_us),
        schema=servegen_draw.SCHEMA,
        draw=draw,
        classes=_classes(clients),
    )
    return _store(stage, job, parsed)


def _classes(clients: Sequence[Client]) -> tuple[str, ...]:
    """Names of clients; with that of the folder where there are several."""
    folders = {client.rates.parent for client in clients}
    return tuple(f"{c.rates.parent.name}/{c.name}" if len(folders) > 1 else c.name for c in clients)


def _rows(stage: Staging, job: ImportJob, names: Sequence[str]) -> pl.DataFrame:
    check_rows(stage.window_counts(), stage, job, names)
    rows = stage.windows()
    if not rows["requests"].sum():
        # one window may have tokens of requests that finish in the next one; all of them cannot
        has_tokens = bool(rows["input_tokens"].sum() or rows["output_tokens"].sum())
        what, cure = (", but tokens", _cure(job)) if has_tokens else ("", "check the file and the --format")
        kind = TraceError if has_tokens else NoRequests
        raise kind(f"{job.names[0]}: counts no request in any window{what}; {cure}")
    return rows


def _cure(job: ImportJob) -> str:
    """What tells the requests that a log does not."""
    if job.reader.metrics is not None:
        return "name a counter of requests that finish with --metric requests=NAME"
    if "requests" in job.reader.fields:
        return "name their column with --column requests=NAME, or give --constant requests=N for those of a row"
    return (
        "check the file, or save its windows with their requests as CSV: window_start, window_end, requests, "
        "input_tokens, output_tokens"
    )


def _coverage(demand: DemandWindows) -> LengthCoverage:
    requests, with_lengths = int(demand.requests.sum()), int(demand.requests_with_lengths.sum())
    share = with_lengths / requests if requests else None
    return LengthCoverage(requests=requests, requests_with_lengths=with_lengths, request_share=share)


def _unknown(demand: DemandWindows) -> list[str]:
    return unknown_notes(int(demand.cached_unknown.sum()), int(demand.requests.sum()))


def _store(stage: Staging, job: ImportJob, parsed: _Parsed) -> ImportAccount:
    """The trace: its windows, or requests drawn from them where that is asked for."""
    weight, demand = job.options.draw, parsed.windows
    reasons = stage.reasons()
    counts = stage.window_counts()
    notes = [*job.notes, *left_out_notes(counts, job), *parsed.notes]
    with rejects_of(stage, job, parsed.labels, any_refused=bool(reasons)) as rejects:
        draft = Draft(
            name=job.name,
            origin="windows",
            format=job.reader.name,
            settings=settings_of(job, counts, parsed.coverage, [*notes, *_unknown(demand)]),
            settings_digest=job.digest,
            timezone=job.options.timezone,
            sample_weight=weight or 1,
            window_us=covered_us(job, int(demand.start_us[0]), int(demand.end_us[-1])),
            created_at=job.now,
            planner_version=job.version,
            rows_read=counts.rows_read,
            rejects=rejects,
        )
        if weight is None:
            return account_for(stored.add_windows(job.store, draft, demand), reasons)
        windows.check_rows(int(demand.requests_with_lengths.sum()), weight, job.names[0])
        with Spool(parsed.schema, job.store.path.parent, SPOOL_BYTES) as requests:
            for batch in parsed.draw(weight):
                requests.write(batch)
            if not requests.rows:
                raise TraceError(
                    f"{job.names[0]}: has too few requests to draw one in {weight:,}; use a smaller --draw"
                )
            drawn = replace(draft, origin="import", classes=parsed.classes)
            return account_for(stored.add(job.store, drawn, requests), reasons)
