"""What a stored trace holds, as one document; and its export to files that import reads back."""

import secrets
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from planner.demand import peak_to_mean
from planner.errors import TraceError, UsageError
from planner.store import Session
from planner.trace.bins import MOST_INTERVALS, binned
from planner.trace.catalogue import TraceInfo
from planner.units import S_PER_HOUR, US_PER_HOUR, iso

_BATCH_ROWS = 250_000


def summary(info: TraceInfo) -> dict[str, Any]:
    """The catalogue's entry of a trace; tokens and requests are real ones, sample weight applied."""
    zone = ZoneInfo(info.timezone)
    return {
        "trace": info.name,
        "origin": info.origin,
        "format": info.format,
        "profile": info.profile,
        "sample_weight": info.sample_weight,
        "rows": info.row_count,
        "requests": info.requests,
        "input_tokens": info.input_tokens * info.sample_weight,
        "cached_input_tokens": info.cached_input_tokens * info.sample_weight,
        "output_tokens": info.output_tokens * info.sample_weight,
        "first_arrival": iso(info.first_arrival_us, zone),
        "last_arrival": iso(info.last_arrival_us, zone),
        "timezone": info.timezone,
        "block_tokens": info.block_tokens,
        "created_at": info.created_at.isoformat(),
    }


def describe(session: Session, info: TraceInfo) -> dict[str, Any]:
    """Totals, hit share, mean KV length with its sampling error, percentiles, hourly profile, rejects."""
    zone = ZoneInfo(info.timezone)
    hours = (info.window_end_us - info.window_start_us) // US_PER_HOUR
    demand = binned(session, info, S_PER_HOUR, zone) if hours < MOST_INTERVALS - 1 else None
    kv = session.rows("trace_kv_length", trace_id=info.trace_id)[0]
    return {
        **summary(info),
        "cache_hit_ratio": info.cached_input_tokens / info.input_tokens if info.input_tokens else None,
        "kv_tokens_per_output_token": kv["kv_tokens_per_output_token"],
        "kv_standard_error": kv["standard_error"],
        "peak_to_mean_hour": peak_to_mean(demand.output_tokens) if demand else None,
        "lengths": session.rows("trace_lengths", trace_id=info.trace_id),
        "rows_read": info.rows_read,
        "rows_rejected": info.rows_rejected,
        "rejects": session.rows("trace_rejects", trace_id=info.trace_id),
        "hours_left_out": 0 if demand else hours,
        "hours": []
        if demand is None
        else [
            {
                "start": start.isoformat(),
                "requests": int(demand.requests[hour]),
                "input_tokens": int(demand.input_tokens[hour]),
                "cached_input_tokens": int(demand.cached_input_tokens[hour]),
                "output_tokens": int(demand.output_tokens[hour]),
            }
            for hour, start in enumerate(demand.grid.local_starts(zone))
        ],
    }


def export(session: Session, info: TraceInfo, out: Path) -> None:
    """Write a trace to a .csv or .parquet file that import reads back as the same. Raises UsageError, TraceError."""
    if out.suffix not in (".csv", ".parquet"):
        raise UsageError(f'--out {out}: ends in "{out.suffix}"; use .csv or .parquet')
    if not out.parent.is_dir():
        raise TraceError(f"{out}: there is no folder {out.parent}; make it")
    stream = session.stream("trace_export", _BATCH_ROWS, trace_id=info.trace_id)
    draft = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        if out.suffix == ".parquet":
            with pq.ParquetWriter(draft, stream.schema) as writer:
                for batch in stream:
                    writer.write_batch(batch)
        else:
            flat = pa.schema(
                [item if item.name != "block_ids" else pa.field("block_ids", pa.string()) for item in stream.schema]
            )
            with pacsv.CSVWriter(draft, flat) as writer:
                for batch in stream:
                    writer.write_batch(_flat(batch, flat))
        draft.replace(out)
    except OSError as error:
        raise TraceError(f"{out}: cannot be written: {error.strerror or error}; name another --out") from error
    finally:
        draft.unlink(missing_ok=True)


def _flat(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with block ids joined by blanks."""
    columns = [
        pc.binary_join(batch.column(item.name).cast(pa.list_(pa.string())), " ")
        if item.name == "block_ids"
        else batch.column(item.name)
        for item in schema
    ]
    return pa.record_batch(columns, schema=schema)
