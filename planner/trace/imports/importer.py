"""Importing logs: files in, a stored trace out; what cannot be read is refused row by row, with the reason."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.errors import TraceError, UsageError
from planner.store import Store
from planner.store.staging import Staging, staging
from planner.store.traces import BLOCK_SCHEMA, REQUEST_SCHEMA
from planner.trace import stored as catalogue
from planner.trace.imports import containers, prometheus, sources
from planner.trace.imports import readers as formats
from planner.trace.imports import windows as window_import
from planner.trace.imports.batches import schema_of
from planner.trace.imports.job import (
    BATCH_ROWS,
    SPOOL_BYTES,
    ImportOptions,
    ImportOutcome,
    Job,
    check_rows,
    digest_of,
    known_before,
    params_of,
    rejects_of,
    settings_of,
)
from planner.trace.imports.prefix_cache import PrefixCache, cached_tokens
from planner.trace.spool import Spool
from planner.trace.stored import Draft
from planner.units import US_PER_S

_PLAIN_SCHEMA = pa.schema([item for item in REQUEST_SCHEMA if item.name not in ("class_id", "session_id")])
_CLOCK_US = 9_214_646_400_000_000
"""Moments that readers take lie before 2262, and not as long before 1970."""
_LONE_SPOOL_BYTES = 1 << 30
"""Where nothing else is held: 50 million plain requests stay in memory, and the process under 2 GB."""
_MOST_CLASSES = 32_767
"""What the type of class_id holds."""


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

    paths: files, folders of files, patterns; or one server's address. format_name: of `formats.readers`, or auto.
    Where the same was imported with the same options under this name, that trace is returned. Raises UsageError for an
    unknown format, TraceError for files that are not what they should be.
    """
    if not name.strip():
        raise UsageError("--name is empty; give the trace a name")
    servers = [str(path) for path in paths if prometheus.is_server(str(path))]
    if servers:
        if len(paths) > 1:
            raise UsageError(f"{servers[0]}: is a server; import what it counts as a trace of its own")
        return _import_counters(store, servers[0], format_name, name=name, options=options, now=now, version=version)
    if format_name != formats.AUTO:
        formats.check_mapping(formats.reader_of(format_name, [], options.columns), options.columns)
    logs = sources.expand(paths)
    reader = formats.reader_of(format_name, logs.paths, options.columns)
    formats.check_mapping(reader, options.columns)
    if options.draw is not None and not reader.demand:
        raise UsageError(f"--draw: format {reader.name} tells requests; draw from demand per window only")
    digest = digest_of(reader, options, list(sources.digests(logs.paths).values()))
    job = Job(store, tuple(map(str, logs.paths)), reader, options, name, digest, now, version)

    def read(stage: Staging) -> ImportOutcome:
        if reader.containers == ("folder",):
            for path in logs.paths:
                formats.check_container(path, reader)
            return window_import.store_folders(stage, logs.paths, job)
        for index, path in enumerate(logs.paths):
            _parse(stage, index, path, job)
        return window_import.store(stage, job) if reader.demand else _store(stage, job)

    return replace(_once(job, read), skipped=logs.skipped)


def _import_counters(
    store: Store, url: str, format_name: str, *, name: str, options: ImportOptions, now: datetime, version: str
) -> ImportOutcome:
    """Ask a monitoring server what inference servers counted. Raises UsageError, TraceError."""
    if options.span is None:
        raise UsageError(f"{url}: is a server; say what to ask for with --from and --to")
    reader = formats.counter_reader(format_name, url, options.span)
    assert reader.metrics is not None
    counted = prometheus.counted(url, reader.metrics, options.span)
    digest = digest_of(reader, options, [counted.digest])
    job = Job(store, (url,), reader, options, name, digest, now, version)

    def read(stage: Staging) -> ImportOutcome:
        epoch = {**params_of(options), "start_us": 0, "unit_us": US_PER_S}
        stage.parse(reader.query, 0, [counted.batch], epoch)
        return window_import.store(stage, job)

    return _once(job, read)


def _once(job: Job, read: Callable[[Staging], ImportOutcome]) -> ImportOutcome:
    """What the same import made before under this name, or what reading makes."""
    known = known_before(job)
    if known and known.trace.name == job.name:
        return replace(known, known_as=job.name)
    with staging("window" if job.reader.demand else "request") as stage:
        outcome = read(stage)
    return replace(outcome, known_as=known.trace.name if known else None)


def _parse(stage: Staging, index: int, path: Path, job: Job) -> None:
    """Hand a file to the reader's query."""
    reader, options = job.reader, job.options
    params = params_of(options)
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


def _store(stage: Staging, job: Job) -> ImportOutcome:
    """What was parsed becomes a stored trace, with what was refused."""
    with _requests_of(stage, job) as (counts, requests, blocks):
        assert requests.first_arrival_us is not None
        assert requests.last_arrival_us is not None
        refused = counts["rows_read"] > counts["rows_imported"]
        with rejects_of(stage, job, job.names, any_refused=refused) as rejects:
            draft = Draft(
                name=job.name,
                origin="import",
                format=job.reader.name,
                settings=settings_of(job),
                settings_digest=job.digest,
                timezone=job.options.timezone,
                sample_weight=counts["sample_weight"],
                window_us=(requests.first_arrival_us, requests.last_arrival_us + 1),
                created_at=job.now,
                planner_version=job.version,
                block_tokens=(job.reader.block_tokens or counts["block_tokens"]) if blocks.rows else None,
                rows_read=counts["rows_read"],
                classes=_classes(stage, job) if counts["has_class"] else (),
                rejects=rejects,
            )
            trace = catalogue.add(job.store, draft, requests, blocks if blocks.rows else None)
        return ImportOutcome(trace, stage.reasons() if refused else {})


def _classes(stage: Staging, job: Job) -> tuple[str, ...]:
    classes = tuple(stage.classes())
    if len(classes) > _MOST_CLASSES:
        raise TraceError(f"{job.names[0]}: has {len(classes):,} classes, and {_MOST_CLASSES:,} are the most")
    return classes


def _check_counts(counts: Mapping[str, Any], stage: Staging, job: Job) -> None:
    check_rows(counts, stage, job, job.names)
    if counts["largest_sample_weight"] != counts["sample_weight"]:
        raise TraceError(f"{job.names[0]}: sample_weight differs from row to row; a trace has one, split the file")
    if counts["smallest_block_tokens"] != counts["block_tokens"]:
        raise TraceError(f"{job.names[0]}: block_tokens differs from row to row; a trace has one, split the file")
    if counts["has_blocks"] and not (job.reader.block_tokens or counts["block_tokens"]):
        raise TraceError(f"{job.names[0]}: has block_ids and no block_tokens; add the column with their size in tokens")


@contextmanager
def _requests_of(stage: Staging, job: Job) -> Iterator[tuple[Mapping[str, Any], Spool, Spool]]:
    """Counts, and requests with their blocks in arrival order.

    Plain requests that come in order are taken in one pass; for all others everything is counted first, then sorted.
    """
    folder = job.store.path.parent
    room = _LONE_SPOOL_BYTES if stage.in_place else SPOOL_BYTES
    with Spool(_PLAIN_SCHEMA, folder, room) as requests, Spool(BLOCK_SCHEMA, folder, SPOOL_BYTES) as blocks:
        plain = _spool_plain(stage, requests)
        if plain is not None:
            check_rows(plain, stage, job, job.names)
            yield plain, requests, blocks
            return
    counts = stage.counts()
    _check_counts(counts, stage, job)
    if counts["has_class"]:
        _classes(stage, job)
    schema = _request_schema(counts)
    with Spool(schema, folder, SPOOL_BYTES) as requests, Spool(BLOCK_SCHEMA, folder, SPOOL_BYTES) as blocks:
        columns = [*schema.names, "block_ids"] if counts["has_blocks"] else schema.names
        stream = stage.requests(columns, BATCH_ROWS, numbered_sessions=bool(counts["numbered_sessions"]))
        _spool(stream, requests, blocks, job)
        yield counts, requests, blocks


def _spool_plain(stage: Staging, requests: Spool) -> dict[str, Any] | None:
    """Take requests as they come; None where they have classes and so on, or one comes before the one it follows."""
    rows_read = 0
    for batch in stage.plain_requests(BATCH_ROWS):
        if pc.any(batch.column("more")).as_py():
            return None
        rows_read += batch.num_rows
        if pc.any(batch.column("refused")).as_py():
            batch = batch.filter(pc.invert(batch.column("refused")))
        if batch.num_rows:
            plain = _checked(batch, requests.last_arrival_us)
            if plain is None:
                return None
            requests.write(plain)
    absent = dict.fromkeys(("has_class", "has_session", "has_blocks"), False)
    return {"rows_read": rows_read, "rows_imported": requests.rows, "sample_weight": 1, "block_tokens": None, **absent}


def _checked(batch: pa.RecordBatch, after_us: int | None) -> pa.RecordBatch | None:
    """The numbers of plain requests; None where one comes too early or one is none that a request can have."""
    if any(batch.column(name).null_count for name in _PLAIN_SCHEMA.names):
        return None
    arrivals, inputs, hits, outputs = (batch.column(name).to_numpy() for name in _PLAIN_SCHEMA.names)
    ordered = (arrivals[1:] >= arrivals[:-1]).all() and (after_us is None or arrivals[0] >= after_us)
    if not ordered or max(-arrivals[0], arrivals[-1]) > _CLOCK_US:
        return None
    if min(hits.min(), outputs.min()) < 0 or (hits > inputs).any():
        return None
    return pa.record_batch([pa.array(column) for column in (arrivals, inputs, hits, outputs)], schema=_PLAIN_SCHEMA)


def _spool(stream: Iterator[pa.RecordBatch], requests: Spool, blocks: Spool, job: Job) -> None:
    """Take the sorted requests out of the staging area; compute cache hits where the format has none."""
    hits = _Hits(PrefixCache(job.options.cache_blocks))
    block_tokens = job.reader.block_tokens
    for batch in stream:
        fields = {name: batch.column(name) for name in batch.schema.names}
        if "block_ids" in fields:
            ids = fields.pop("block_ids")
            if block_tokens:
                prompts = (fields["arrival_us"], ids, fields["input_tokens"])
                rows = zip(*(column.to_pylist() for column in prompts), strict=True)
                hit = [cached_tokens(hits.of(at_us, own or []), block_tokens, tokens) for at_us, own, tokens in rows]
                fields["cached_input_tokens"] = pa.array(hit, pa.int64())
            blocks.write(_blocks(ids, requests.rows))
        schema = requests.schema
        requests.write(pa.record_batch([fields[item.name].cast(item.type) for item in schema], schema=schema))


class _Hits:
    """Blocks that requests find. Those that arrive at the same time do not find each other's."""

    def __init__(self, cache: PrefixCache) -> None:
        self._cache = cache
        self._arriving: list[list[int]] = []
        self._at_us: int | None = None

    def of(self, at_us: int, block_ids: list[int]) -> int:
        """Leading blocks that the next request finds. at_us: its arrival, not before the one of the last."""
        if at_us != self._at_us:
            for blocks in self._arriving:
                self._cache.add(blocks)
            self._arriving, self._at_us = [], at_us
        self._arriving.append(block_ids)
        return self._cache.found(block_ids)


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
