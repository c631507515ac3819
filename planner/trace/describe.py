"""What a stored trace holds, as one document."""

import json
from typing import Any
from zoneinfo import ZoneInfo

from planner.core.demand import peak_to_mean
from planner.store import Session
from planner.trace.demand import MOST_INTERVALS, binned
from planner.trace.stored import TraceInfo
from planner.units import S_PER_HOUR, US_PER_HOUR, iso


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
    settings: dict[str, Any] = json.loads(info.settings)
    return {
        **summary(info),
        "cache_hit_ratio": info.cached_input_tokens / info.input_tokens if info.input_tokens else None,
        "kv_tokens_per_output_token": kv["kv_tokens_per_output_token"],
        "kv_standard_error": kv["standard_error"],
        "peak_to_mean_hour": peak_to_mean(demand.output_tokens) if demand else None,
        "lengths": [] if info.windowed else session.rows("trace_lengths", trace_id=info.trace_id),
        "coverage": settings.get("coverage"),
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
