"""Importing logs: files in, a stored trace out; what cannot be read is refused row by row, with the reason."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.errors import TraceError, UsageError
from planner.resources import shipped
from planner.store import Store
from planner.store.staging import Staging, staging
from planner.store.traces import BLOCK_SCHEMA, REQUEST_SCHEMA
from planner.trace import catalogue, containers
from planner.trace.catalogue import Draft, TraceInfo
from planner.trace.prefix_cache import PrefixCache, cached_tokens
from planner.trace.spool import Spool
from planner.units import US_PER_S, to_us

_BATCH_ROWS = 250_000
UNITS_US = {"s": US_PER_S, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class Reader:
    """A log format: a query in `sql/readers` and how its files are opened.

    columns must be there, optional ones may; block_tokens: size of its prefix blocks, if it has any.
    """

    name: str
    description: str
    query: str
    container: Literal["csv", "jsonl", "parquet"]
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    block_tokens: int | None = None


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
    """A stored trace and what was refused: reason -> rows."""

    trace: TraceInfo
    rejects: Mapping[str, int]


def readers() -> dict[str, Reader]:
    """Every format by name."""
    found = {}
    for path in sorted((shipped("sql") / "readers").glob("*.toml")):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        data |= {key: tuple(data[key]) for key in ("columns", "optional") if key in data}
        found[path.stem] = Reader(name=path.stem, **data)
    return found


def import_trace(
    store: Store,
    paths: Sequence[Path],
    *,
    format_name: str,
    name: str,
    options: ImportOptions,
    now: datetime,
    version: str,
) -> ImportOutcome:
    """Read logs into one stored trace. Rows read = imported + refused; nothing is stored if none can be imported.

    Raises UsageError for an unknown format, TraceError for files that are not what they should be.
    """
    if not name.strip():
        raise UsageError("--name is empty; give the trace a name")
    reader = readers().get(format_name)
    if reader is None:
        raise UsageError(f'no format "{format_name}"; use one of {", ".join(readers())}')
    unknown = sorted(set(options.columns) - {*reader.columns, *reader.optional})
    if unknown or (options.columns and reader.container == "jsonl"):
        fields = ", ".join((*reader.columns, *reader.optional))
        raise UsageError(
            f"--column {', '.join(unknown or options.columns)}: format {reader.name} has the fields {fields}"
        )
    _refuse_taken_name(store, name)
    for path in paths:
        containers.check_file(path)
    params = {
        "timezone": options.timezone,
        "start_us": to_us(options.start),
        "unit_us": UNITS_US[options.time_unit],
    }
    with staging() as stage:
        for index, path in enumerate(paths):
            stage.parse(reader.query, index, _open(path, reader, options), params)
        return _store(store, stage, paths, reader, options, name=name, now=now, version=version)


def _store(
    store: Store,
    stage: Staging,
    paths: Sequence[Path],
    reader: Reader,
    options: ImportOptions,
    *,
    name: str,
    now: datetime,
    version: str,
) -> ImportOutcome:
    counts: dict[str, Any] = stage.counts()
    refused = stage.rejects()
    reasons = {str(row[0]): int(row[1]) for row in refused["reason"].value_counts(sort=True).rows()}
    _check_counts(counts, refused.rows(), paths, reader, options)
    schema = _request_schema(counts)
    block_tokens = reader.block_tokens or counts["block_tokens"]
    folder = store.path.parent
    with Spool(schema, folder) as requests, Spool(BLOCK_SCHEMA, folder) as blocks:
        _spool(stage, counts, requests, blocks, reader, options)
        assert requests.first_arrival_us is not None
        assert requests.last_arrival_us is not None
        draft = Draft(
            name=name,
            origin="import",
            format=reader.name,
            settings={
                "files": [path.name for path in paths],
                "timezone": options.timezone,
                "start": options.start,
                "time_unit": options.time_unit,
                "cache_blocks": options.cache_blocks,
                "columns": dict(options.columns),
            },
            settings_digest=_digest_of(paths),
            timezone=options.timezone,
            sample_weight=counts["sample_weight"],
            window_us=(requests.first_arrival_us, requests.last_arrival_us + 1),
            created_at=now,
            planner_version=version,
            block_tokens=block_tokens if blocks.rows else None,
            rows_read=counts["rows_read"],
            classes=tuple(stage.classes()) if counts["has_class"] else (),
            rejects=refused.select(
                refused["file_index"]
                .replace_strict(list(range(len(paths))), [path.name for path in paths])
                .alias("file"),
                "line",
                "reason",
            ),
        )
        trace = catalogue.add(store, draft, requests, blocks if blocks.rows else None)
    return ImportOutcome(trace, reasons)


def _check_counts(
    counts: Mapping[str, Any],
    refused: Sequence[tuple[int, int, str]],
    paths: Sequence[Path],
    reader: Reader,
    options: ImportOptions,
) -> None:
    if not counts["rows_read"]:
        raise TraceError(f"{paths[0]}: has no row below its header; name a log with at least one row")
    if refused and (options.strict or not counts["rows_imported"]):
        index, line, reason = refused[0]
        what = "no row can be imported" if not counts["rows_imported"] else f"{len(refused)} rows are refused"
        cure = "correct it, or leave out --strict" if counts["rows_imported"] else "check the file and the --format"
        raise TraceError(
            f"{paths[index]} as {reader.name}: {what}, the first at line {line} ({reason}); {cure}; nothing is stored"
        )
    if counts["weights"] > 1:
        raise TraceError(f"{paths[0]}: sample_weight differs from row to row; a trace has one, split the file")
    if counts["block_sizes"] > 1:
        raise TraceError(f"{paths[0]}: block_tokens differs from row to row; a trace has one, split the file")
    if counts["has_blocks"] and not (reader.block_tokens or counts["block_tokens"]):
        raise TraceError(f"{paths[0]}: has block_ids and no block_tokens; add the column with their size in tokens")


def _spool(
    stage: Staging,
    counts: Mapping[str, Any],
    requests: Spool,
    blocks: Spool,
    reader: Reader,
    options: ImportOptions,
) -> None:
    """Move the requests out of the staging area in arrival order; compute cache hits where the format has none."""
    cache = PrefixCache(options.cache_blocks)
    done = 0
    schema = _request_schema(counts)
    columns = [*schema.names, "block_ids"]
    stream = stage.requests(columns, _BATCH_ROWS, numbered_sessions=counts["numbered_sessions"])
    for batch in stream:
        ids = batch.column("block_ids")
        fields = {name: batch.column(name) for name in schema.names}
        if counts["has_blocks"]:
            if reader.block_tokens:
                prompts = zip(ids.to_pylist(), fields["input_tokens"].to_pylist(), strict=True)
                hit = [cached_tokens(cache.hits(own or []), reader.block_tokens, tokens) for own, tokens in prompts]
                fields["cached_input_tokens"] = pa.array(hit, pa.int64())
            blocks.write(_blocks(ids, done))
        requests.write(pa.record_batch([fields[item.name].cast(item.type) for item in schema], schema=schema))
        done += batch.num_rows


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


def _open(path: Path, reader: Reader, options: ImportOptions) -> Iterator[pa.RecordBatch]:
    """The file's lines with the columns named as the reader's query wants them."""
    if reader.container == "jsonl":
        _check_first_line(path, reader)
        return containers.jsonl_batches(path)
    there = containers.csv_columns(path) if reader.container == "csv" else containers.parquet_columns(path)
    sources = {name: options.columns.get(name, name) for name in (*reader.columns, *reader.optional)}
    missing = [
        source
        for name, source in sources.items()
        if source not in there and name in (*reader.columns, *options.columns)
    ]
    if missing:
        cure = "map it with --column FIELD=NAME" if reader.optional else "check the file, or give another --format"
        raise TraceError(f"{path}: has no column {', '.join(missing)} (it has {_shown(there)}); {cure}")
    if reader.container == "csv":
        batches = containers.csv_batches(path)
    else:
        batches = containers.parquet_batches(path, list(dict.fromkeys(s for s in sources.values() if s in there)))
    return _renamed(batches, sources, containers.schema_of(list(sources)))


def _renamed(
    batches: Iterator[pa.RecordBatch], sources: Mapping[str, str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        names = batch.schema.names
        columns = [
            batch.column(source) if source in names else pa.nulls(batch.num_rows, pa.string())
            for source in sources.values()
        ]
        yield pa.record_batch([batch.column("line"), batch.column("fault"), *columns], schema=schema)


def _check_first_line(path: Path, reader: Reader) -> None:
    with path.open("rb") as file:
        first = file.readline(1 << 20)
    missing = [name for name in reader.columns if f'"{name}"'.encode() not in first]
    if missing:
        raise TraceError(
            f"{path}: is not {reader.name}: its first line has no {', '.join(missing)}; "
            "check the file, or give another --format"
        )


def _shown(names: Sequence[str]) -> str:
    shown = [repr(name) if not name.isprintable() else name for name in names[:8]]
    return ", ".join(shown)[:200] + (", ..." if len(names) > len(shown) else "")


def _refuse_taken_name(store: Store, name: str) -> None:
    """Fail before the work where the name is taken; `catalogue.add` checks again when it stores."""
    if store.path.exists():
        with store.read() as session:
            catalogue.refuse_taken(session, name)


def _digest_of(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
