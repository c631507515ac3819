"""The catalogue of stored traces: find, add, list, describe, export, delete."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

import polars as pl

from planner.errors import TraceError
from planner.store import Session, Store
from planner.store.traces import add_blocks, add_rejects, add_requests, drop_trace_tables
from planner.trace.spool import TOKENS, Spool
from planner.trace.windows import Windows


@dataclass(frozen=True)
class TraceInfo:
    """A row of the table `trace`: sums and counts are of stored rows, each standing for sample_weight requests."""

    trace_id: int
    name: str
    origin: str
    format: str | None
    profile: str | None
    settings: str
    settings_digest: str
    timezone: str
    sample_weight: int
    row_count: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    first_arrival_us: int
    last_arrival_us: int
    window_start_us: int
    window_end_us: int
    block_tokens: int | None
    rows_read: int
    rows_rejected: int
    created_at: datetime
    planner_version: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    @property
    def requests(self) -> int:
        """Real requests that the trace stands for."""
        return self.row_count * self.sample_weight

    @property
    def windowed(self) -> bool:
        """Whether only demand per window is known, and no requests."""
        return self.origin == "windows"


@dataclass(frozen=True)
class Draft:
    """What is known of a trace before it is stored."""

    name: str
    origin: str
    settings: Mapping[str, Any]
    settings_digest: str
    timezone: str
    sample_weight: int
    window_us: tuple[int, int]
    created_at: datetime
    planner_version: str
    format: str | None = None
    profile: str | None = None
    block_tokens: int | None = None
    rows_read: int = 0
    classes: tuple[str, ...] = ()
    rejects: Spool | None = None


def by_name(session: Session, name: str) -> TraceInfo:
    """The trace of a name. Raises TraceError that lists the stored ones."""
    rows = session.rows("trace_by_name", name=name)
    if not rows:
        known = [row["name"] for row in session.rows("trace_list")]
        cure = f"the stored ones are {', '.join(known)}" if known else "none is stored; import or generate one"
        raise TraceError(f'no trace "{name}"; {cure}')
    return TraceInfo.of(rows[0])


def by_digest(session: Session, settings_digest: str) -> TraceInfo | None:
    """The trace that given settings made, if it is stored."""
    rows = session.rows("trace_by_digest", settings_digest=settings_digest)
    return TraceInfo.of(rows[0]) if rows else None


def refuse_taken(session: Session, name: str) -> None:
    """Raises TraceError where a trace of that name is stored."""
    if session.rows("trace_by_name", name=name):
        raise TraceError(f'a trace "{name}" is stored already; delete it, or give another --name')


def listed(session: Session) -> list[TraceInfo]:
    """Every stored trace, by name."""
    return [TraceInfo.of(row) for row in session.rows("trace_list")]


def check_requests(info: TraceInfo) -> None:
    """Raises TraceError where a trace has no requests."""
    if info.windowed:
        raise TraceError(
            f"trace {info.name} holds demand per window and no requests; import it again with --draw 1, or a sample "
            "with --draw 100"
        )


def add_windows(store: Store, draft: Draft, windows: Windows) -> TraceInfo:
    """Store a trace that is known by window only, in one transaction. Raises TraceError where the name is taken."""
    with store.write() as session:
        refuse_taken(session, draft.name)
        trace_id = session.next_number("trace_sequence")
        session.append("trace", _row(draft, trace_id, _Sums.of(windows)))
        session.append("demand_window", windows.frame(trace_id))
        if draft.rejects is not None:
            add_rejects(session, trace_id, draft.rejects.read())
        return by_name(session, draft.name)


def add(store: Store, draft: Draft, requests: Spool, blocks: Spool | None = None) -> TraceInfo:
    """Store a trace in one transaction. Raises TraceError where the name is taken.

    A synthetic trace that somebody else has stored meanwhile is not stored again.
    """
    with store.write() as session:
        there = by_digest(session, draft.settings_digest) if draft.origin == "synthetic" else None
        if there and there.name == draft.name:
            return there
        refuse_taken(session, draft.name)
        trace_id = session.next_number("trace_sequence")
        add_requests(session, trace_id, requests.read())
        if blocks is not None:
            add_blocks(session, trace_id, blocks.read())
        session.append("trace", _row(draft, trace_id, requests))
        if draft.classes:
            frame = pl.DataFrame({"class_id": range(len(draft.classes)), "class": draft.classes})
            session.append("request_class", frame.with_columns(trace_id=pl.lit(trace_id)))
        if draft.rejects is not None:
            add_rejects(session, trace_id, draft.rejects.read())
        return by_name(session, draft.name)


def delete(store: Store, name: str) -> list[str]:
    """Delete a trace with its requests; runs made from it stay, and are returned."""
    with store.write() as session:
        info = by_name(session, name)
        runs = [row["run_id"] for row in session.rows("trace_runs", trace_id=info.trace_id)]
        for query in ("trace_delete_classes", "trace_delete_rejects", "trace_delete_windows", "trace_delete"):
            session.execute(query, trace_id=info.trace_id)
        drop_trace_tables(session, info.trace_id)
    return runs


@dataclass(frozen=True)
class _Sums:
    """What the table `trace` keeps of windows, as of a spool of requests."""

    rows: int
    sums: Mapping[str, int]
    first_arrival_us: int
    last_arrival_us: int

    @classmethod
    def of(cls, windows: Windows) -> Self:
        sums = {name: int(getattr(windows, name).sum()) for name in TOKENS}
        return cls(int(windows.requests.sum()), sums, int(windows.start_us[0]), int(windows.end_us[-1]) - 1)


def _row(draft: Draft, trace_id: int, requests: Spool | _Sums) -> pl.DataFrame:
    start_us, end_us = draft.window_us
    return pl.DataFrame(
        {
            "trace_id": trace_id,
            "name": draft.name,
            "origin": draft.origin,
            "format": draft.format,
            "profile": draft.profile,
            "settings": json.dumps(draft.settings, default=str),
            "settings_digest": draft.settings_digest,
            "timezone": draft.timezone,
            "sample_weight": draft.sample_weight,
            "row_count": requests.rows,
            **requests.sums,
            "first_arrival_us": requests.first_arrival_us,
            "last_arrival_us": requests.last_arrival_us,
            "window_start_us": start_us,
            "window_end_us": end_us,
            "block_tokens": draft.block_tokens,
            "rows_read": draft.rows_read or requests.rows,
            "rows_rejected": draft.rejects.rows if draft.rejects is not None else 0,
            "created_at": draft.created_at,
            "planner_version": draft.planner_version,
        },
        schema_overrides={"format": pl.String, "profile": pl.String, "block_tokens": pl.Int32},
    )
