"""What one import is: files, format, options; and what imports of requests and of windows have in common."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from planner.errors import TraceError
from planner.store import Store
from planner.store.staging import Staging
from planner.store.traces import REJECT_SCHEMA
from planner.trace import stored as catalogue
from planner.trace.imports.prometheus import Range
from planner.trace.imports.readers import Reader
from planner.trace.spool import Spool
from planner.trace.stored import TraceInfo
from planner.units import US_PER_S, to_us

IMPORTER = 2
"""Version of reading: raised whenever the same files and options would give other rows."""
SPOOL_BYTES = 256 << 20
"""What an import keeps in memory of its requests: with DuckDB's share it stays under 2 GB."""
BATCH_ROWS = 2 * 122_880
"""Whole row groups of DuckDB, which it writes as they come instead of at the end."""
UNITS_US = {"s": US_PER_S, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class ImportOptions:
    """How to read logs.

    start: moment that time 0 stands for, where times are relative. time_unit: of numeric arrivals, s, ms or us.
    cache_blocks: room of the prefix cache that hits are computed with, None for no limit. columns: field -> column
    name in the file. strict: refuse everything if one row is refused. draw: where a log tells demand per window, draw
    one request for every so many, None to keep the windows. seed: of what is drawn. span: what to ask a server for.
    """

    timezone: str
    start: datetime
    time_unit: str = "s"
    cache_blocks: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    draw: int | None = None
    seed: int = 1
    span: Range | None = None


@dataclass(frozen=True)
class ImportOutcome:
    """A stored trace and what was refused: reason -> rows.

    known_as: the trace that the same files with the same options made before; where it has the name asked for, nothing
    was read again. skipped: files of the folders named that are no logs. coverage: how much of the demand per window
    has lengths, and what is expected of it.
    """

    trace: TraceInfo
    rejects: Mapping[str, int]
    known_as: str | None = None
    skipped: tuple[str, ...] = ()
    coverage: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Job:
    """One import: what is read, how, and what it will be called. names: of what is read, for messages."""

    store: Store
    names: tuple[str, ...]
    reader: Reader
    options: ImportOptions
    name: str
    digest: str
    now: datetime
    version: str


def check_rows(counts: Mapping[str, Any], stage: Staging, job: Job, names: Sequence[str]) -> None:
    """Raises TraceError where nothing was read, nothing can be imported, or something not and strict is asked for.

    names: of what was parsed, in order.
    """
    refused = counts["rows_read"] - counts["rows_imported"]
    if not counts["rows_read"]:
        raise TraceError(f"{job.names[0]}: has no row below its header; name a log with at least one row")
    if refused and (job.options.strict or not counts["rows_imported"]):
        index, line, reason = stage.first_reject()
        what = "no row can be imported" if not counts["rows_imported"] else f"{refused:,} rows are refused"
        cure = "correct it, or leave out --strict" if counts["rows_imported"] else "check the file and the --format"
        raise TraceError(
            f"{names[index]} as {job.reader.name}: {what}, the first at line {line} ({reason}); {cure}; "
            "nothing is stored"
        )


@contextmanager
def rejects_of(stage: Staging, job: Job, names: Sequence[str], *, any_refused: bool) -> Iterator[Spool]:
    """Refused rows with the names of their files."""
    files_named = pa.array([Path(name).name for name in names])
    with Spool(REJECT_SCHEMA, job.store.path.parent, SPOOL_BYTES) as rejects:
        for batch in stage.rejects(BATCH_ROWS) if any_refused else ():
            files = files_named.take(batch.column("file_index"))
            rejects.write(pa.record_batch([files, batch.column("line"), batch.column("reason")], schema=REJECT_SCHEMA))
        yield rejects


def params_of(options: ImportOptions) -> dict[str, object]:
    """What readers' queries may ask for."""
    return {
        "timezone": options.timezone,
        "start_us": to_us(options.start),
        "unit_us": UNITS_US[options.time_unit],
    }


def settings_of(job: Job) -> dict[str, object]:
    return {"files": [Path(name).name for name in job.names], **_reading(job.options)}


def _reading(options: ImportOptions) -> dict[str, object]:
    """The options that what is read depends on."""
    return {
        "timezone": options.timezone,
        "start": options.start,
        "time_unit": options.time_unit,
        "cache_blocks": options.cache_blocks,
        "columns": dict(options.columns),
        "draw": options.draw,
        "seed": options.seed if options.draw else None,
        "span": asdict(options.span) if options.span else None,
    }


def digest_of(reader: Reader, options: ImportOptions, contents: Sequence[str]) -> str:
    """What identifies an imported trace: the bytes read, the format, the options and the way of reading."""
    identity = [IMPORTER, reader.name, _reading(options), list(contents)]
    return hashlib.sha256(json.dumps(identity, default=str).encode()).hexdigest()


def known_before(job: Job) -> ImportOutcome | None:
    """What the same import made before. Raises TraceError where the name is taken by something else.

    Failing here saves the work; `catalogue.add` checks again when it stores.
    """
    if not job.store.path.exists():
        return None
    with job.store.read() as session:
        found = catalogue.by_digest(session, job.digest)
        if found is None or found.name != job.name:
            catalogue.refuse_taken(session, job.name)
        if found is None:
            return None
        rejects = session.rows("trace_rejects", trace_id=found.trace_id)
    coverage = json.loads(found.settings).get("coverage")
    return ImportOutcome(found, {row["reason"]: row["rejected"] for row in rejects}, coverage=coverage)
