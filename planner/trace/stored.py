"""The catalogue of stored traces: find, add, list, describe, export, delete."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Self

import polars as pl
from pydantic import TypeAdapter

from planner.errors import TraceError
from planner.settings.plain import check_name
from planner.store import Session, Store
from planner.store.traces import add_blocks, add_rejects, add_requests, drop_trace_tables
from planner.trace.documents import Coverage, TraceDeletion
from planner.trace.spool import TOKENS, Spool
from planner.trace.windows import DemandWindows


@dataclass(frozen=True, kw_only=True)
class NamedSpan:
    """The time that an import named with --from and --to, seconds since the epoch."""

    start_s: int
    end_s: int


@dataclass(frozen=True, kw_only=True)
class ExpandedFrom:
    """The trace that was expanded, the part of it, and how many of the requests are its own rows."""

    trace: str = ""
    sample_weight: int = 1
    rows_kept: int = 0
    part: NamedSpan | None = None


@dataclass(frozen=True, kw_only=True)
class TraceArguments:
    """The arguments of a stored trace that are read back; None where it was made without them."""

    seed: int | None = None
    cell_s: int | None = None
    cache_blocks: int | None = None
    coverage: Coverage | None = None
    rows_left_out: int | None = None
    notes: tuple[str, ...] | None = None
    span: NamedSpan | None = None
    expanded_from: ExpandedFrom | None = None


_ARGUMENTS = TypeAdapter(TraceArguments)


@dataclass(frozen=True, kw_only=True)
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
    cached_unknown: int

    @property
    def hit_ratio(self) -> float | None:
        """Share of the input tokens that were found in a cache; None without any, and where no row tells it."""
        known = self.input_tokens and self.cached_unknown < self.row_count
        return self.cached_input_tokens / self.input_tokens if known else None

    @property
    def requests(self) -> int:
        """Real requests that the trace stands for."""
        return self.row_count * self.sample_weight

    @property
    def windowed(self) -> bool:
        """Whether the trace has demand per window only, and no requests."""
        return self.origin == "windows"

    @property
    def window_is_named(self) -> bool:
        """Whether the time that it covers was named, by its profile or its import, and is not that of its rows."""
        return self.profile is not None or self.arguments.span is not None

    @cached_property
    def arguments(self) -> TraceArguments:
        """The arguments that made it, as far as they are read back."""
        return _ARGUMENTS.validate_json(self.settings)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is known of a trace before it is stored. settings: the arguments that made it, as JSON."""

    name: str
    origin: str
    settings: str
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

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
        except ValueError as error:
            raise TraceError(f"the name of a trace {error}") from error


def by_name(session: Session, name: str) -> TraceInfo:
    """The trace of a name. Raises TraceError that lists the stored ones."""
    traces = session.records("trace_by_name", TraceInfo, name=name)
    if not traces:
        names = [info.name for info in listed(session)]
        cure = f"the stored ones are {', '.join(names)}" if names else "none is stored; import or generate one"
        raise TraceError(f'no trace "{name}"; {cure}')
    return traces[0]


def by_digest(session: Session, settings_digest: str) -> TraceInfo | None:
    """The trace that given settings made, if it is stored."""
    traces = session.records("trace_by_digest", TraceInfo, settings_digest=settings_digest)
    return traces[0] if traces else None


def require_free_name(session: Session, name: str) -> None:
    """Raises TraceError where a trace of that name is stored."""
    if session.frame("trace_by_name", name=name).height:
        raise TraceError(f'a trace "{name}" is already stored; delete it, or give another name')


def listed(session: Session) -> list[TraceInfo]:
    """Every stored trace, by name."""
    return session.records("trace_list", TraceInfo)


def check_requests(info: TraceInfo) -> None:
    """Raises TraceError where a trace has no requests."""
    if info.windowed:
        raise TraceError(
            f"trace {info.name} has demand per window but no requests; draw them with "
            f"`planner trace expand {shlex.quote(info.name)} --to FULL`"
        )


def add_windows(store: Store, draft: Draft, windows: DemandWindows) -> TraceInfo:
    """Store a trace that is known by window only, in one transaction. Raises TraceError where the name is taken."""
    with store.write() as session:
        require_free_name(session, draft.name)
        trace_id = session.next_number("trace_sequence")
        session.append("trace", _row(draft, trace_id, _Sums.of(windows)))
        session.append("demand_window", windows.frame(trace_id))
        if draft.rejects is not None:
            add_rejects(session, trace_id, draft.rejects.read())
        return by_name(session, draft.name)


def add(store: Store, draft: Draft, requests: Spool, blocks: Spool | None = None) -> TraceInfo:
    """Store a trace in one transaction. Raises TraceError where the name is taken.

    A synthetic trace that another process has stored meanwhile is not stored again.
    """
    with store.write() as session:
        twin = by_digest(session, draft.settings_digest) if draft.origin == "synthetic" else None
        if twin and twin.name == draft.name:
            return twin
        require_free_name(session, draft.name)
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


def delete(store: Store, name: str) -> TraceDeletion:
    """Delete a trace with its requests; runs made from it stay. Raises StoreMissing where there is no store."""
    store.require()
    with store.write() as session:
        info = by_name(session, name)
        runs = session.frame("trace_runs", trace_id=info.trace_id)["run_id"].to_list()
        for query in ("trace_delete_classes", "trace_delete_rejects", "trace_delete_windows", "trace_delete"):
            session.execute(query, trace_id=info.trace_id)
        drop_trace_tables(session, info.trace_id)
    return TraceDeletion(trace=name, deleted=True, runs_kept=tuple(runs))


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """The sums of windows in the table `trace`, like those of a spool of requests."""

    rows: int
    sums: Mapping[str, int]
    cached_unknown: int
    first_arrival_us: int
    last_arrival_us: int

    @classmethod
    def of(cls, windows: DemandWindows) -> Self:
        sums = {name: int(getattr(windows, name).sum()) for name in TOKENS}
        return cls(
            rows=int(windows.requests.sum()),
            sums=sums,
            cached_unknown=int(windows.cached_unknown.sum()),
            first_arrival_us=int(windows.start_us[0]),
            last_arrival_us=int(windows.end_us[-1]) - 1,
        )


def _row(draft: Draft, trace_id: int, requests: Spool | _Sums) -> pl.DataFrame:
    start_us, end_us = draft.window_us
    return pl.DataFrame(
        {
            "trace_id": trace_id,
            "name": draft.name,
            "origin": draft.origin,
            "format": draft.format,
            "profile": draft.profile,
            "settings": draft.settings,
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
            "cached_unknown": requests.cached_unknown,
        },
        schema_overrides={"format": pl.String, "profile": pl.String, "block_tokens": pl.Int32},
    )
