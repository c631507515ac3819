"""Importing logs: files in, a stored trace out; what cannot be read is refused row by row, with the reason."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.errors import TraceError, UsageError
from planner.store import Store
from planner.store.staging import Staging, staging
from planner.store.traces import BLOCK_SCHEMA, REJECT_SCHEMA, REQUEST_SCHEMA
from planner.trace import catalogue, containers, formats, sources
from planner.trace.batches import schema_of
from planner.trace.catalogue import Draft, TraceInfo
from planner.trace.formats import Reader
from planner.trace.prefix_cache import PrefixCache, cached_tokens
from planner.trace.spool import Spool
from planner.units import US_PER_S, to_us

IMPORTER = 1
"""Version of reading: raised whenever the same files and options would give other rows."""
_BATCH_ROWS = 250_000
_SPOOL_BYTES = 256 << 20
"""What an import keeps in memory of its requests: with DuckDB's share it stays under 2 GB."""
_MOST_CLASSES = 32_767
"""What the type of class_id holds."""
UNITS_US = {"s": US_PER_S, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class ImportOptions:
    """How to read logs.

    start: moment that time 0 stands for, where times are relative. time_unit: of numeric arrivals, s, ms or us.
    cache_blocks: room of the prefix cache that hits are computed with, None for no limit. columns: field -> column
    name in the file. strict: refuse everything if one row is refused.
    """

    timezone: str
    start: datetime
    time_unit: str = "s"
    cache_blocks: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True)
class ImportOutcome:
    """A stored trace and what was refused: reason -> rows.

    known_as: the trace that the same files with the same options made before; where it has the name asked for, nothing
    was read again. skipped: files of the folders named that are no logs.
    """

    trace: TraceInfo
    rejects: Mapping[str, int]
    known_as: str | None = None
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    """One import: what is read, how, and what it will be called."""

    store: Store
    logs: sources.Logs
    reader: Reader
    options: ImportOptions
    name: str
    digest: str
    now: datetime
    version: str

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.logs.paths


def import_trace(
    store: Store,
    paths: Sequence[str | Path],
    *,
    format_name: str,
    name: str,
    options: ImportOptions,
    now: datetime,
    version: str,
) -> ImportOutcome:
    """Read logs into one stored trace. Rows read = imported + refused; nothing is stored if none can be imported.

    paths: files, folders of files, patterns. format_name: of `formats.readers`, or auto. Where the same files were
    imported with the same options under this name, that trace is returned. Raises UsageError for an unknown format,
    TraceError for files that are not what they should be.
    """
    if not name.strip():
        raise UsageError("--name is empty; give the trace a name")
    if format_name != formats.AUTO:
        formats.check_mapping(formats.reader_of(format_name, [], options.columns), options.columns)
    logs = sources.expand(paths)
    reader = formats.reader_of(format_name, logs.paths, options.columns)
    formats.check_mapping(reader, options.columns)
    digest = _digest(reader, options, sources.digests(logs.paths))
    job = _Job(store, logs, reader, options, name, digest, now, version)
    known = _known(job)
    if known and known[0].name == name:
        return ImportOutcome(known[0], known[1], known_as=name, skipped=logs.skipped)
    with staging() as stage:
        for index, path in enumerate(job.paths):
            _parse(stage, index, path, job)
        trace, rejects = _store(stage, job)
    return ImportOutcome(trace, rejects, known_as=known[0].name if known else None, skipped=logs.skipped)


def _parse(stage: Staging, index: int, path: Path, job: _Job) -> None:
    """Hand a file to the reader's query."""
    reader, options = job.reader, job.options
    params = {
        "timezone": options.timezone,
        "start_us": to_us(options.start),
        "unit_us": UNITS_US[options.time_unit],
    }
    container = formats.check_container(path, reader)
    by_text = reader.record == "text"
    if container == "parquet":
        there = containers.parquet_columns(path)
        columns = {} if by_text else formats.check_columns(path, reader, there, options.columns)
        stage.parse_parquet(reader.query, index, path, params, columns)
    elif container == "json":
        stage.parse(reader.query, index, containers.json_batches(path), params, () if by_text else reader.fields)
    else:
        columns = formats.check_columns(path, reader, containers.csv_columns(path), options.columns)
        batches = _renamed(containers.csv_batches(path), columns)
        stage.parse(reader.query, index, batches, params)


def _store(stage: Staging, job: _Job) -> tuple[TraceInfo, dict[str, int]]:
    """What was parsed becomes a stored trace, with what was refused."""
    counts: dict[str, Any] = stage.counts()
    reasons = stage.reasons()
    _check_counts(counts, stage, job)
    classes = tuple(stage.classes()) if counts["has_class"] else ()
    if len(classes) > _MOST_CLASSES:
        raise TraceError(f"{job.paths[0]}: has {len(classes):,} classes, and {_MOST_CLASSES:,} are the most")
    with _rejects_of(stage, job) as rejects, _requests_of(stage, counts, job) as (requests, blocks):
        assert requests.first_arrival_us is not None
        assert requests.last_arrival_us is not None
        draft = Draft(
            name=job.name,
            origin="import",
            format=job.reader.name,
            settings=_settings(job),
            settings_digest=job.digest,
            timezone=job.options.timezone,
            sample_weight=counts["sample_weight"],
            window_us=(requests.first_arrival_us, requests.last_arrival_us + 1),
            created_at=job.now,
            planner_version=job.version,
            block_tokens=(job.reader.block_tokens or counts["block_tokens"]) if blocks.rows else None,
            rows_read=counts["rows_read"],
            classes=classes,
            rejects=rejects,
        )
        trace = catalogue.add(job.store, draft, requests, blocks if blocks.rows else None)
    return trace, reasons


def _check_counts(counts: Mapping[str, Any], stage: Staging, job: _Job) -> None:
    paths = job.paths
    check_rows(counts, stage, paths, job.reader, strict=job.options.strict)
    if counts["largest_sample_weight"] != counts["sample_weight"]:
        raise TraceError(f"{paths[0]}: sample_weight differs from row to row; a trace has one, split the file")
    if counts["smallest_block_tokens"] != counts["block_tokens"]:
        raise TraceError(f"{paths[0]}: block_tokens differs from row to row; a trace has one, split the file")
    if counts["has_blocks"] and not (job.reader.block_tokens or counts["block_tokens"]):
        raise TraceError(f"{paths[0]}: has block_ids and no block_tokens; add the column with their size in tokens")


def check_rows(
    counts: Mapping[str, Any], stage: Staging, paths: Sequence[Path], reader: Reader, *, strict: bool
) -> None:
    """Raises TraceError where nothing was read, nothing can be imported, or something not and strict is asked for."""
    refused = counts["rows_read"] - counts["rows_imported"]
    if not counts["rows_read"]:
        raise TraceError(f"{paths[0]}: has no row below its header; name a log with at least one row")
    if refused and (strict or not counts["rows_imported"]):
        index, line, reason = stage.first_reject()
        what = "no row can be imported" if not counts["rows_imported"] else f"{refused:,} rows are refused"
        cure = "correct it, or leave out --strict" if counts["rows_imported"] else "check the file and the --format"
        raise TraceError(
            f"{paths[index]} as {reader.name}: {what}, the first at line {line} ({reason}); {cure}; nothing is stored"
        )


@contextmanager
def _rejects_of(stage: Staging, job: _Job) -> Iterator[Spool]:
    """Refused rows with the names of their files."""
    names = pa.array([path.name for path in job.paths])
    with Spool(REJECT_SCHEMA, job.store.path.parent, _SPOOL_BYTES) as rejects:
        for batch in stage.rejects(_BATCH_ROWS):
            files = names.take(batch.column("file_index"))
            rejects.write(pa.record_batch([files, batch.column("line"), batch.column("reason")], schema=REJECT_SCHEMA))
        yield rejects


@contextmanager
def _requests_of(stage: Staging, counts: Mapping[str, Any], job: _Job) -> Iterator[tuple[Spool, Spool]]:
    """Requests and their blocks in arrival order: as they come where they come so, and sorted where not."""
    schema, folder = _request_schema(counts), job.store.path.parent
    plain = not (counts["has_class"] or counts["has_session"] or counts["has_blocks"])
    for in_order in (True, False) if plain else (False,):
        with (
            Spool(schema, folder, _SPOOL_BYTES) as requests,
            Spool(BLOCK_SCHEMA, folder, _SPOOL_BYTES) as blocks,
        ):
            stream = stage.requests(
                [*schema.names, "block_ids"] if counts["has_blocks"] else schema.names,
                _BATCH_ROWS,
                numbered_sessions=counts["numbered_sessions"],
                in_order=in_order,
            )
            if _spool(stream, requests, blocks, job):
                yield requests, blocks
                return


def _spool(stream: pa.RecordBatchReader, requests: Spool, blocks: Spool, job: _Job) -> bool:
    """Take the requests out of the staging area; compute cache hits where the format has none.

    False as soon as one comes before the one that it follows.
    """
    cache = PrefixCache(job.options.cache_blocks)
    block_tokens = job.reader.block_tokens
    for batch in stream:
        arrivals = batch.column("arrival_us").to_numpy()
        late = requests.last_arrival_us
        if (arrivals[1:] < arrivals[:-1]).any() or (late is not None and len(arrivals) and arrivals[0] < late):
            return False
        fields = {name: batch.column(name) for name in batch.schema.names}
        if "block_ids" in fields:
            ids = fields.pop("block_ids")
            if block_tokens:
                prompts = zip(ids.to_pylist(), fields["input_tokens"].to_pylist(), strict=True)
                hit = [cached_tokens(cache.hits(own or []), block_tokens, tokens) for own, tokens in prompts]
                fields["cached_input_tokens"] = pa.array(hit, pa.int64())
            blocks.write(_blocks(ids, requests.rows))
        schema = requests.schema
        requests.write(pa.record_batch([fields[item.name].cast(item.type) for item in schema], schema=schema))
    return True


def _blocks(ids: pa.Array, first: int) -> pa.RecordBatch:
    """Lists of block ids, one per request from number `first`, as rows of BLOCK_SCHEMA."""
    lengths = pc.fill_null(pc.list_value_length(ids), 0).to_numpy()
    sequence = np.repeat(np.arange(first, first + len(ids)), lengths)
    position = np.arange(len(sequence)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    flat = pc.list_flatten(ids).cast(pa.int64())
    return pa.record_batch([pa.array(sequence), pa.array(position.astype(np.int32)), flat], schema=BLOCK_SCHEMA)


def _request_schema(counts: Mapping[str, Any]) -> pa.Schema:
    absent = {"class_id": not counts["has_class"], "session_id": not counts["has_session"]}
    return pa.schema([item for item in REQUEST_SCHEMA if not absent.get(item.name)])


def _renamed(batches: Iterator[pa.RecordBatch], columns: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """The batches with the columns named as the reader's query wants them."""
    schema = schema_of(list(columns))
    for batch in batches:
        names = batch.schema.names
        found = [
            batch.column(source) if source in names else pa.nulls(batch.num_rows, pa.string())
            for source in columns.values()
        ]
        yield pa.record_batch([batch.column("line"), batch.column("fault"), *found], schema=schema)


def _settings(job: _Job) -> dict[str, object]:
    return {"files": [path.name for path in job.paths], **_reading(job.options)}


def _reading(options: ImportOptions) -> dict[str, object]:
    """The options that what is read depends on."""
    return {
        "timezone": options.timezone,
        "start": options.start,
        "time_unit": options.time_unit,
        "cache_blocks": options.cache_blocks,
        "columns": dict(options.columns),
    }


def _digest(reader: Reader, options: ImportOptions, files: Mapping[Path, str]) -> str:
    """What identifies an imported trace: the bytes read, the format, the options and the way of reading."""
    identity = [IMPORTER, reader.name, _reading(options), list(files.values())]
    return hashlib.sha256(json.dumps(identity, default=str).encode()).hexdigest()


def _known(job: _Job) -> tuple[TraceInfo, dict[str, int]] | None:
    """The trace that the same import made before, with what it refused. Raises TraceError where the name is taken.

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
    return found, {row["reason"]: row["rejected"] for row in rejects}
