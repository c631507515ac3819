"""Imports of demand per window: kept as windows, or drawn as requests that each stand for so many."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from planner.errors import TraceError
from planner.store.staging import Staging
from planner.trace import stored as catalogue
from planner.trace import windows
from planner.trace.imports import servegen, servegen_draw
from planner.trace.imports.job import SPOOL_BYTES, ImportOutcome, Job, check_rows, params_of, rejects_of, settings_of
from planner.trace.imports.servegen import Client
from planner.trace.spool import Spool
from planner.trace.stored import Draft
from planner.units import to_us

_Drawing = tuple[pa.Schema, Callable[[int], Iterator[pa.RecordBatch]]]
"""The schema of what is drawn, and the drawing itself, for one request of so many."""


def store(stage: Staging, job: Job) -> ImportOutcome:
    """Windows that were parsed become a stored trace. Raises TraceError."""
    rows = _rows(stage, job, job.names)
    found = windows.windows_of(rows, job.names[0])

    def drawn(weight: int) -> Iterator[pa.RecordBatch]:
        return windows.draw_evenly(found, weight, job.options.seed)

    return _stored(stage, job, job.names, found, (windows.EVEN_SCHEMA, drawn), _coverage(found), ())


def store_folders(stage: Staging, folders: Sequence[Path], job: Job) -> ImportOutcome:
    """ServeGen folders become one stored trace. Raises TraceError."""
    clients = [client for folder in folders for client in servegen.clients_of(folder)]
    for index, client in enumerate(clients):
        stage.parse(job.reader.query, index, servegen.batches(client), params_of(job.options))
    names = [str(client.rates) for client in clients]
    rows = _rows(stage, job, names)
    start_us = to_us(job.options.start)
    found = windows.windows_of(rows, job.names[0])

    def drawn(weight: int) -> Iterator[pa.RecordBatch]:
        return servegen_draw.draw(rows, clients, start_us, weight, job.options.seed)

    coverage = servegen.coverage(rows, clients, start_us)
    return _stored(stage, job, names, found, (servegen_draw.SCHEMA, drawn), coverage, _classes(clients))


def _classes(clients: Sequence[Client]) -> tuple[str, ...]:
    """Names of clients; with that of the folder where there are several."""
    folders = {client.rates.parent for client in clients}
    return tuple(f"{c.rates.parent.name}/{c.name}" if len(folders) > 1 else c.name for c in clients)


def _rows(stage: Staging, job: Job, names: Sequence[str]) -> pl.DataFrame:
    check_rows(stage.counts(), stage, job, names)
    rows = stage.windows()
    if not rows["requests"].sum() and not rows["output_tokens"].sum():
        raise TraceError(f"{job.names[0]}: counts no request in any window; check the file and the --format")
    return rows


def _coverage(found: windows.Windows) -> dict[str, object]:
    requests, known = int(found.requests.sum()), int(found.requests_with_lengths.sum())
    return {
        "requests": requests,
        "requests_with_lengths": known,
        "request_share": known / requests if requests else None,
    }


def _stored(
    stage: Staging,
    job: Job,
    names: Sequence[str],
    found: windows.Windows,
    drawing: _Drawing,
    coverage: Mapping[str, object],
    classes: tuple[str, ...],
) -> ImportOutcome:
    """The trace: its windows, or requests drawn from them where that is asked for."""
    weight = job.options.draw
    common: dict[str, Any] = {
        "name": job.name,
        "format": job.reader.name,
        "settings": {**settings_of(job), "coverage": coverage},
        "settings_digest": job.digest,
        "timezone": job.options.timezone,
        "sample_weight": weight or 1,
        "window_us": (int(found.start_us[0]), int(found.end_us[-1])),
        "created_at": job.now,
        "planner_version": job.version,
        "rows_read": stage.counts()["rows_read"],
    }
    reasons = stage.reasons()
    with rejects_of(stage, job, names, any_refused=bool(reasons)) as rejects:
        if weight is None:
            draft = Draft(origin="windows", rejects=rejects, **common)
            return ImportOutcome(catalogue.add_windows(job.store, draft, found), reasons, coverage=coverage)
        windows.check_rows(int(found.requests_with_lengths.sum()), weight, job.names[0])
        schema, drawn = drawing
        with Spool(schema, job.store.path.parent, SPOOL_BYTES) as requests:
            for batch in drawn(weight):
                requests.write(batch)
            if not requests.rows:
                raise TraceError(f"{job.names[0]}: has too few requests to draw one in {weight:,}; draw more")
            draft = Draft(origin="import", rejects=rejects, classes=classes, **common)
            return ImportOutcome(catalogue.add(job.store, draft, requests), reasons, coverage=coverage)
