"""Traces as files that import reads back: everything as CSV or Parquet, or in the format of a published log."""

import shlex
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from planner.errors import TraceError, UsageError
from planner.files import atomic_write
from planner.store import Store
from planner.text import inert
from planner.trace import stored
from planner.trace.documents import TraceExport
from planner.trace.spool import Spool
from planner.trace.stored import TraceInfo
from planner.units import US_PER_S, iso

_BATCH_ROWS = 250_000
_MOONCAKE_BLOCK = 512
"""Published: Mooncake's traces have a hash id for every 512 input tokens."""
_FORMULAS = (
    "names of classes begin with =, +, - or @: they are written as they are, so that import reads them back; do not "
    "open the file in a spreadsheet, which would compute them"
)
_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".jsonl": "mooncake"}


def export(store: Store, name: str, out: Path, format_name: str | None = None) -> TraceExport:
    """Write a trace to a file. format_name: csv, parquet, mooncake or azure; None for that of the file's suffix.

    The store is let go before the file is written, which takes long where it is a pipe.

    Raises UsageError, TraceError. What csv and parquet write comes back by import as the same trace.
    """
    try:
        with ExitStack() as opened:
            with store.read() as session:
                info = stored.by_name(session, name)
                chosen = _checked(info, out, format_name)
                rows = session.stream("trace_export", _BATCH_ROWS, trace_id=info.trace_id)
                aside = opened.enter_context(Spool(rows.schema, _folder_beside(out)))
                for batch in rows:
                    aside.write(batch)
            return _written(info, aside.read(), out, chosen)
    except OSError as error:
        raise TraceError(f"{out}: cannot be written: {error.strerror or error}; name another --out") from error


def _checked(info: TraceInfo, out: Path, format_name: str | None) -> str:
    """The format to write. Raises UsageError, TraceError."""
    stored.check_requests(info)
    chosen = format_name or _SUFFIXES.get(out.suffix)
    if chosen is None:
        raise UsageError(f'--out {out}: ends in "{out.suffix}"; use .csv, .parquet or .jsonl, or give --format')
    if chosen not in _WRITERS:
        raise UsageError(f'--format "{chosen}": use one of {", ".join(_WRITERS)}')
    if out.is_dir():
        raise TraceError(f"{out}: is a folder; name a file with --out")
    if not out.parent.is_dir():
        raise TraceError(f"{out}: there is no folder {out.parent}; create it")
    return chosen


def _folder_beside(out: Path) -> Path:
    """Where rows wait that do not fit into memory: beside the file, or for a pipe in the folder of temporary files."""
    return out.parent if out.is_file() or not out.exists() else Path(tempfile.gettempdir())


def _written(info: TraceInfo, rows: pa.RecordBatchReader, out: Path, chosen: str) -> TraceExport:
    stream = _Counted(rows)
    with atomic_write(out) as path, path.open("wb") as file:
        _WRITERS[chosen](stream, info, file)
    return TraceExport(
        trace=info.name,
        out=str(out),
        rows=info.row_count,
        format=chosen,
        import_command=f"planner trace import {shlex.join([str(out), *_options(info, chosen, stream)])} --name ...",
        left_out=tuple(_left_out(info, chosen, stream)),
        notes=(_FORMULAS,) if chosen == "csv" and stream.formulas else (),
    )


class _Counted:
    """The rows of a trace, and which optional fields any of them had."""

    def __init__(self, stream: pa.RecordBatchReader) -> None:
        self._stream = stream
        self.schema: pa.Schema = stream.schema
        self.classes = self.sessions = self.hits = self.formulas = False

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> pa.RecordBatch:
        batch: pa.RecordBatch = next(self._stream)
        self.classes |= batch.column("class").null_count < batch.num_rows
        self.formulas |= any(inert(name) != name for name in batch.column("class").unique().to_pylist() if name)
        self.sessions |= batch.column("session_id").null_count < batch.num_rows
        self.hits |= bool(pc.max(batch.column("cached_input_tokens")).as_py())
        return batch


def _parquet(stream: _Counted, _info: TraceInfo, file: IO[bytes]) -> None:
    with pq.ParquetWriter(file, stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)


def _csv(stream: _Counted, _info: TraceInfo, file: IO[bytes]) -> None:
    flat = pa.schema(
        [item if item.name != "block_ids" else pa.field("block_ids", pa.string()) for item in stream.schema]
    )
    with pacsv.CSVWriter(file, flat) as writer:
        for batch in stream:
            columns = [
                pc.binary_join(batch.column(item.name).cast(pa.list_(pa.string())), " ")
                if item.name == "block_ids"
                else batch.column(item.name)
                for item in flat
            ]
            writer.write_batch(pa.record_batch(columns, schema=flat))


def _azure(stream: _Counted, _info: TraceInfo, file: IO[bytes]) -> None:
    """Like the trace of 2024: times with their offset."""
    for number, batch in enumerate(stream):
        rows = _frame(batch).select(
            TIMESTAMP=pl.col("arrival").dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00"),
            ContextTokens="input_tokens",
            GeneratedTokens="output_tokens",
        )
        rows.write_csv(file, include_header=number == 0)


def _mooncake(stream: _Counted, info: TraceInfo, file: IO[bytes]) -> None:
    """Milliseconds from the start of the trace's window, with decimals where there are any."""
    for batch in stream:
        since_us = pl.col("arrival").dt.epoch("us") - info.window_start_us
        frame = _frame(batch).with_columns(since_us=since_us)
        exact = not (frame["since_us"] % 1000 != 0).any()
        columns = {
            "timestamp": pl.col("since_us") // 1000 if exact else pl.col("since_us") / 1000,
            "input_length": pl.col("input_tokens"),
            "output_length": pl.col("output_tokens"),
        }
        if info.block_tokens == _MOONCAKE_BLOCK:
            columns["hash_ids"] = pl.col("block_ids").fill_null([])
        frame.select(**columns).write_ndjson(file)


_WRITERS: Mapping[str, Callable[[_Counted, TraceInfo, IO[bytes]], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "mooncake": _mooncake,
    "azure": _azure,
}


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _options(info: TraceInfo, chosen: str, stream: _Counted) -> list[str]:
    """The options that import needs for the file."""
    options = ["--format", chosen, "--timezone", info.timezone]
    if chosen in ("csv", "parquet") and stream.hits:
        options += ["--cached", "inside"]
    if chosen == "mooncake":
        options += ["--start", iso(info.window_start_us), "--time-unit", "ms"]
        cache_blocks = info.arguments.cache_blocks
        if info.block_tokens == _MOONCAKE_BLOCK and cache_blocks:
            options += ["--cache", str(cache_blocks)]
    span = info.arguments.span
    if span is not None:
        options += ["--from", iso(span.start_s * US_PER_S), "--to", iso(span.end_s * US_PER_S)]
    return options


def _left_out(info: TraceInfo, chosen: str, stream: _Counted) -> list[str]:
    """Parts of a trace that the format cannot carry."""
    if chosen in ("csv", "parquet"):
        return []
    hashed = chosen == "mooncake" and info.block_tokens == _MOONCAKE_BLOCK
    losses = []
    if info.sample_weight > 1:
        losses.append(f"the sample weight: each row stands for {info.sample_weight:,} requests, and will stand for one")
    if stream.hits and not hashed:
        losses.append("cached input tokens")
    elif stream.hits and info.format != "mooncake":
        losses.append("cached input tokens: import computes them from the blocks; --cache sets the size of the cache")
    if info.block_tokens is not None and not hashed:
        losses.append(f"prefix blocks of {info.block_tokens} tokens")
    if stream.classes:
        losses.append("classes")
    if stream.sessions:
        losses.append("sessions")
    return losses
