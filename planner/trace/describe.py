"""The contents of a stored trace, as documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from planner.core.demand import Demand, peak_to_mean
from planner.core.week import by_week_hour
from planner.store import Session
from planner.trace.demand import MOST_INTERVALS, binned
from planner.trace.documents import (
    ImportAccount,
    RejectedRows,
    TokenLengths,
    TraceClass,
    TraceDescription,
    TraceHour,
    TraceSummary,
    TraceWeekHour,
)
from planner.trace.stored import TraceInfo
from planner.units import S_PER_HOUR, US_PER_HOUR, from_us


@dataclass(frozen=True, kw_only=True)
class _KvLength:
    """A row of the query trace_kv_length."""

    kv_tokens_per_output_token: float | None
    standard_error: float | None


def summarize(info: TraceInfo) -> TraceSummary:
    """The catalogue's entry of a trace; tokens and requests are real ones, sample weight applied."""
    zone = ZoneInfo(info.timezone)
    return TraceSummary(
        trace=info.name,
        origin=info.origin,
        format=info.format,
        profile=info.profile,
        sample_weight=info.sample_weight,
        rows=info.row_count,
        requests=info.requests,
        input_tokens=info.input_tokens * info.sample_weight,
        cached_input_tokens=info.cached_input_tokens * info.sample_weight,
        cached_unknown=info.cached_unknown * info.sample_weight,
        output_tokens=info.output_tokens * info.sample_weight,
        first_arrival=from_us(info.first_arrival_us, zone),
        last_arrival=from_us(info.last_arrival_us, zone),
        timezone=info.timezone,
        block_tokens=info.block_tokens,
        created_at=info.created_at,
    )


def account_for(info: TraceInfo, rejects: Mapping[str, int]) -> ImportAccount:
    """The outcome of an import. rejects: reason -> rejected rows."""
    return ImportAccount(
        **vars(summarize(info)),
        rows_read=info.rows_read,
        rows_imported=info.rows_read - info.rows_rejected - (info.arguments.rows_left_out or 0),
        rows_rejected=info.rows_rejected,
        rows_left_out=info.arguments.rows_left_out or 0,
        rejects=dict(rejects),
        coverage=info.arguments.coverage,
        known_as=None,
        skipped=(),
        empty=(),
        notes=info.arguments.notes or (),
    )


def unknown_notes(unknown: int, requests: int, *, whole: bool = True) -> list[str]:
    """What is to be known of requests whose cached tokens no log tells. whole: whether all of the trace is meant."""
    if not unknown:
        return []
    of = f"{requests:,} requests" if whole else f"the {requests:,} requests of the whole trace"
    return [f"cached input is unknown for {unknown:,} of {of}; planned as none cached"]


def describe(session: Session, info: TraceInfo) -> TraceDescription:
    """Totals, hit share, mean KV length with its sampling error, percentiles, hourly profile, rejects."""
    zone = ZoneInfo(info.timezone)
    spanned = (info.window_end_us - info.window_start_us) // US_PER_HOUR
    demand = binned(session, info, S_PER_HOUR, zone) if spanned < MOST_INTERVALS - 1 else None
    hours = _hours(demand, zone) if demand else ()
    kv = session.records("trace_kv_length", _KvLength, trace_id=info.trace_id)[0]
    lengths = [] if info.windowed else session.records("trace_lengths", TokenLengths, trace_id=info.trace_id)
    return TraceDescription(
        **vars(summarize(info)),
        cache_hit_ratio=info.hit_ratio,
        kv_tokens_per_output_token=kv.kv_tokens_per_output_token,
        kv_standard_error=kv.standard_error,
        peak_to_mean_hour=peak_to_mean(demand.output_tokens) if demand else None,
        peak_hour=max(hours, key=_load, default=None) if any(map(any, map(_load, hours))) else None,
        longest_request_tokens=None if info.windowed else _longest(session, info),
        unserved=None,
        classes=_classes(session, info),
        week=_week(hours),
        lengths=tuple(lengths),
        coverage=info.arguments.coverage,
        rows_read=info.rows_read,
        rows_rejected=info.rows_rejected,
        rows_left_out=info.arguments.rows_left_out or 0,
        rejects=tuple(session.records("trace_rejects", RejectedRows, trace_id=info.trace_id)),
        hours_left_out=0 if demand else spanned,
        hours=hours,
    )


def _longest(session: Session, info: TraceInfo) -> int:
    (row,) = session.rows("trace_too_long", trace_id=info.trace_id, longest_tokens=0)
    return int(row["longest_tokens"] or 0)


def _load(hour: TraceHour) -> tuple[int, int]:
    """What makes an hour busy, as replays choose it: output tokens; input tokens where there are none."""
    return hour.output_tokens, hour.input_tokens


def _classes(session: Session, info: TraceInfo) -> tuple[TraceClass, ...]:
    """The classes of a trace, sample weight applied."""
    weight, rows = info.sample_weight, session.rows("trace_classes", trace_id=info.trace_id)
    return tuple(
        TraceClass(
            name=row["class"],
            requests=row["row_count"] * weight,
            **{f"{kind}_tokens": row[f"{kind}_tokens"] * weight for kind in ("input", "cached_input", "output")},
        )
        for row in rows
    )


def _week(hours: tuple[TraceHour, ...]) -> tuple[TraceWeekHour, ...]:
    """The mean hour by weekday and hour of the clock."""
    slots = by_week_hour([hour.start for hour in hours])
    return tuple(
        TraceWeekHour(
            weekday=weekday,
            hour=hour,
            hours=len(indexes),
            mean_requests=sum(hours[index].requests for index in indexes) / len(indexes),
            mean_input_tokens=sum(hours[index].input_tokens for index in indexes) / len(indexes),
            mean_output_tokens=sum(hours[index].output_tokens for index in indexes) / len(indexes),
        )
        for (weekday, hour), indexes in slots.items()
    )


def _hours(demand: Demand, zone: ZoneInfo) -> tuple[TraceHour, ...]:
    return tuple(
        TraceHour(
            start=start,
            requests=int(demand.requests[hour]),
            input_tokens=int(demand.input_tokens[hour]),
            cached_input_tokens=int(demand.cached_input_tokens[hour]),
            output_tokens=int(demand.output_tokens[hour]),
        )
        for hour, start in enumerate(demand.grid.local_starts(zone))
    )
