"""A sample, or demand per window, as a trace with every request: the missing ones are drawn by seed.

A part of a trace has the requests that the whole expanded trace has there: what a cell or a window draws depends on the
seed, on its own time and on what the whole trace tells.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from planner.core.expansion import LEVELS, CellRows, Unevenness, missing_requests
from planner.documents import Document, Maybe, to_json
from planner.errors import TraceError, UsageError
from planner.store import Session, Store
from planner.store.traces import REQUEST_SCHEMA, narrow_requests
from planner.trace import stored, windows
from planner.trace.describe import summarize
from planner.trace.documents import Coverage, ExpandedTrace, LengthCoverage
from planner.trace.parts import CELL_US, Part, part_of
from planner.trace.spool import TOKENS, Spool
from planner.trace.stored import Draft, ExpandedFrom, TraceInfo
from planner.trace.windows import DemandWindows
from planner.units import US_PER_MINUTE, US_PER_S, Floats, Ints, Progress, from_us, iso

_EXPANDER = 1
"""Version of the drawing method: raised whenever the same trace and seed would give other requests."""
_BATCH_ROWS = 500_000
_STREAM = 3
_CELL_OFFSET = 1 << 40
"""Keeps numbers of cells before 1970 above 0."""
_FEW_ROWS = 30
"""Assumed: rows of a cell below which what is drawn like them is uncertain."""
_MOST_SESSION = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class _Span(Document):
    """The time that the trace covers, where it was named; as an import states it."""

    start_s: int
    end_s: int


@dataclass(frozen=True, kw_only=True)
class _Origin(Document):
    """The trace that was expanded, and the part of it; None for the whole."""

    trace: str
    sample_weight: int
    rows_kept: int
    part: Maybe[_Span] = None


@dataclass(frozen=True, kw_only=True)
class _Arguments(Document):
    """What is stored of how a trace was expanded."""

    seed: int
    expanded_from: _Origin
    span: Maybe[_Span] = None
    coverage: Maybe[Coverage] = None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Survey:
    """What a first pass over a sample tells.

    shares: how unevenly rows divide, by level. sessions: all ids, in order.
    """

    shares: Floats
    sessions: Ints
    classes: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The columns that the requests have."""
        absent = {"class_id": not self.classes, "session_id": not len(self.sessions)}
        return pa.schema([item for item in REQUEST_SCHEMA if not absent.get(item.name)])


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What is expanded: a trace, or a part of it. requests: those that it stands for; rows: those that it has."""

    trace: TraceInfo
    part: Part | None
    rows: int
    requests: int
    coverage: Coverage | None


def expand(
    store: Store,
    name: str,
    to: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    seed: int,
    now: datetime,
    version: str,
    progress: Progress | None = None,
) -> ExpandedTrace:
    """Store a trace with every request that a sample, or demand per window, stands for.

    The store is locked only while the finished rows are loaded. Where the same was expanded by the same seed under this
    name, that trace is returned. Raises TraceError for a trace that has every request, and for a name that is taken.
    start, end: the part that is expanded; None for where the trace starts and ends. Raises UsageError where that is no
    part of it.
    """
    if not to.strip():
        raise UsageError("--to is empty; give the expanded trace a name")
    with store.read() as session:
        trace = stored.by_name(session, name)
        if not trace.windowed and trace.sample_weight == 1:
            raise TraceError(f"trace {trace.name} has every request, so nothing is missing; replay it as it is")
        part = part_of(session, trace, start, end)
        digest = _digest(trace, part, seed)
        known = stored.by_digest(session, digest)
        if known and known.name == to:
            return _account(known, is_known=True)
        stored.require_free_name(session, to)
        source = _source(session, trace, part)
        found = _windows_of(session, trace, part) if trace.windowed else _survey(session, trace)
    schema = found.schema if isinstance(found, _Survey) else windows.EVEN_SCHEMA
    with Spool(schema, store.path.parent) as requests:
        if isinstance(found, _Survey):
            with store.read() as session:
                cells = _expand_sample(session, source, found, seed, requests, progress)
            notes = _sample_notes(source, found, cells)
        else:
            for batch in windows.draw_evenly(found, 1, seed, None if part is None else (part.start_us, part.end_us)):
                requests.write(batch)
            notes = _window_notes(found, source, requests)
        draft = Draft(
            name=to,
            origin="expanded",
            settings=_settings(source, seed, notes),
            settings_digest=digest,
            timezone=trace.timezone,
            sample_weight=1,
            window_us=_window_us(source, requests),
            created_at=now,
            planner_version=version,
            classes=found.classes if isinstance(found, _Survey) else (),
        )
        return _account(stored.add(store, draft, requests), is_known=False)


def _digest(source: TraceInfo, part: Part | None, seed: int) -> str:
    of = ["expanded", _EXPANDER, source.settings_digest, seed]
    return hashlib.sha256(json.dumps(of if part is None else [*of, part.start_us, part.end_us]).encode()).hexdigest()


def _source(session: Session, trace: TraceInfo, part: Part | None) -> _Source:
    """What is expanded, counted. Raises TraceError where it is too much to draw, or has no request."""
    rows, coverage = trace.row_count, trace.arguments.coverage
    if part is not None and trace.windowed:
        inside = session.frame("trace_windows", trace_id=trace.trace_id).filter(
            (pl.col("window_start_us") >= part.start_us) & (pl.col("window_end_us") <= part.end_us)
        )
        rows, with_lengths = int(inside["requests"].sum()), int(inside["requests_with_lengths"].sum())
        coverage = LengthCoverage(
            requests=rows, requests_with_lengths=with_lengths, request_share=with_lengths / rows if rows else None
        )
    elif part is not None:
        times = {"start_us": part.start_us, "end_us": part.end_us}
        (counted,) = session.rows("trace_window_rows", trace_id=trace.trace_id, **times)
        rows = counted["row_count"]
    requests = rows * trace.sample_weight
    if part is not None and not rows:
        zone = ZoneInfo(trace.timezone)
        raise TraceError(
            f"trace {trace.name} has no request from {iso(part.start_us, zone)} to {iso(part.end_us, zone)}; "
            "expand another part"
        )
    windows.check_rows(requests, 1, f"trace {trace.name}", "expand a shorter part, with --from and --until")
    return _Source(trace=trace, part=part, rows=rows, requests=requests, coverage=coverage)


def _settings(source: _Source, seed: int, notes: tuple[str, ...]) -> str:
    trace = source.trace
    arguments = _Arguments(
        seed=seed,
        expanded_from=_Origin(
            trace=trace.name,
            sample_weight=trace.sample_weight,
            rows_kept=0 if trace.windowed else source.rows,
            part=None if source.part is None else _seconds(source.part.start_us, source.part.end_us),
        ),
        span=_span(source),
        coverage=source.coverage,
        notes=notes,
    )
    return json.dumps(to_json(arguments))


def _span(source: _Source) -> _Span | None:
    """The time that the requests cover, where it is a part, or the trace's profile or import named it."""
    trace, part = source.trace, source.part
    if part is not None:
        return _seconds(part.start_us, part.end_us)
    if trace.arguments.span is not None:
        return _Span(**vars(trace.arguments.span))
    return _seconds(trace.window_start_us, trace.window_end_us) if trace.profile is not None else None


def _seconds(start_us: int, end_us: int) -> _Span:
    return _Span(start_s=start_us // US_PER_S, end_s=-(-end_us // US_PER_S))


def _window_us(source: _Source, requests: Spool) -> tuple[int, int]:
    """The time that the expanded trace covers."""
    if source.part is not None:
        return source.part.start_us, source.part.end_us
    assert requests.first_arrival_us is not None
    assert requests.last_arrival_us is not None
    start_us = min(source.trace.window_start_us, requests.first_arrival_us)
    return start_us, max(source.trace.window_end_us, requests.last_arrival_us + 1)


def _account(info: TraceInfo, *, is_known: bool) -> ExpandedTrace:
    origin, zone = info.arguments.expanded_from or ExpandedFrom(), ZoneInfo(info.timezone)
    part = origin.part and [from_us(at_s * US_PER_S, zone) for at_s in (origin.part.start_s, origin.part.end_s)]
    return ExpandedTrace(
        **vars(summarize(info)),
        expanded_from=origin.trace,
        part_start=part[0] if part else None,
        part_end=part[1] if part else None,
        seed=info.arguments.seed or 0,
        rows_kept=origin.rows_kept,
        rows_drawn=info.row_count - origin.rows_kept,
        notes=info.arguments.notes or (),
        is_known=is_known,
    )


def _windows_of(session: Session, source: TraceInfo, part: Part | None) -> DemandWindows:
    """The windows of a trace, each with as many requests as have known lengths. Raises TraceError without any."""
    frame = session.frame("trace_windows", trace_id=source.trace_id)
    names = ("requests_with_lengths", *TOKENS)
    counts = {name: frame[name].fill_null(0).to_numpy() for name in names}
    found = DemandWindows(
        start_us=frame["window_start_us"].to_numpy(),
        end_us=frame["window_end_us"].to_numpy(),
        requests=counts["requests_with_lengths"],
        cached_unknown=frame["cached_unknown"].to_numpy(),
        knows_cached=frame["cached_input_tokens"].is_not_null().to_numpy(),
        **counts,
    )
    if not (found if part is None else part.of(found)).requests.sum():
        raise TraceError(f"trace {source.name} counts no request with known lengths, so none can be drawn")
    return found


def _window_notes(found: DemandWindows, source: _Source, requests: Spool) -> tuple[str, ...]:
    found = found if source.part is None else source.part.of(found)
    notes = [
        "requests are drawn from demand per window: arrivals are even within a window, and all requests of a window "
        "have its mean lengths, so latencies lack the variety of real requests"
    ]
    lone = (found.requests == 0) & (found.input_tokens + found.output_tokens > 0)
    if lone.any():
        notes.append(f"{int(lone.sum()):,} windows have tokens and no request; the next one that has some carries them")
    lost = {name: int(getattr(found, name).sum()) - requests.sums[name] for name in TOKENS}
    notes += [
        f"{count:,} {name.replace('_', ' ')} have no request to carry them" for name, count in lost.items() if count > 0
    ]
    if source.rows > requests.rows:
        notes.append(f"{source.rows - requests.rows:,} requests of unknown lengths are left out")
    return tuple(notes)


def _survey(session: Session, source: TraceInfo) -> _Survey:
    unevenness = Unevenness()
    sessions = np.empty(0, np.int64)
    held: list[Ints] = []
    for batch in _cells(session, source):
        rows = _rows_of(batch, source)
        unevenness.add(rows)
        held.append(np.unique(rows.session[rows.session >= 0]))
        if sum(map(len, held)) > _BATCH_ROWS:
            sessions, held = np.unique(np.concatenate([sessions, *held])), []
    return _Survey(
        shares=unevenness.shares(),
        sessions=np.unique(np.concatenate([sessions, *held])),
        classes=tuple(row["class"] for row in session.rows("trace_class_names", trace_id=source.trace_id)),
    )


def _cells(session: Session, source: TraceInfo) -> Iterator[pa.RecordBatch]:
    """The rows of a sample, cell by cell; cells without rows are left out."""
    held: list[pa.RecordBatch] = []
    cell = None
    for batch in session.stream("trace_rows", _BATCH_ROWS, trace_id=source.trace_id):
        at = batch.column("arrival_us").to_numpy() // CELL_US
        edges = [0, *(np.flatnonzero(np.diff(at)) + 1).tolist(), len(at)]
        for begin, end in pairwise(edges):
            if begin == end:
                continue
            if held and at[begin] != cell:
                yield pa.concat_batches(held)
                held = []
            cell = at[begin]
            held.append(batch.slice(begin, end - begin))
    if held:
        yield pa.concat_batches(held)


def _bounds_us(at_us: int, source: TraceInfo) -> tuple[int, int]:
    """Start and end of the cell of a time, within the time that the trace covers.

    Where that is the time of its rows, the next request before the first and after the last was a mean gap away.
    """
    start_us = at_us // CELL_US * CELL_US
    length_us = source.last_arrival_us - source.first_arrival_us
    gap_us = 0 if source.window_is_named else length_us // max(source.row_count - 1, 1)
    begin_us, end_us = source.window_start_us - gap_us, source.window_end_us + gap_us
    return max(start_us, begin_us), min(start_us + CELL_US, end_us)


def _rows_of(batch: pa.RecordBatch, source: TraceInfo) -> CellRows:
    at_us = batch.column("arrival_us").to_numpy()
    start_us, end_us = _bounds_us(int(at_us[0]), source)
    return CellRows(
        length_us=end_us - start_us,
        offset_us=at_us - start_us,
        group=batch.column("class_id").to_numpy(zero_copy_only=False).astype(np.int64),
        session=pc.fill_null(batch.column("session_id"), -1).to_numpy(zero_copy_only=False).astype(np.int64),
    )


def _expand_sample(
    session: Session, source: _Source, found: _Survey, seed: int, requests: Spool, progress: Progress | None
) -> int:
    """The rows of a sample and what is missing, in order of arrival. Returns how many cells have rows."""
    trace, cells = source.trace, 0
    copies = trace.sample_weight - 1
    fresh = _fresh_sessions(trace, found.sessions)
    if source.part is not None:
        narrow_requests(session, trace.trace_id, source.part.start_us, source.part.end_us, None)
    for batch in _cells(session, trace):
        cells += 1
        first_us = int(batch.column("arrival_us")[0].as_py())
        stream = np.random.SeedSequence(seed, spawn_key=(_STREAM, first_us // CELL_US + _CELL_OFFSET))
        rows = _rows_of(batch, trace)
        missing = missing_requests(rows, trace.sample_weight, found.shares, np.random.default_rng(stream))
        like = batch.take(pa.array(missing.row))
        own = rows.session[missing.row]
        numbers = fresh + np.searchsorted(found.sessions, own) * copies + missing.copy
        drawn = {
            "arrival_us": pa.array(_bounds_us(first_us, trace)[0] + missing.offset_us),
            "session_id": pa.array(numbers, mask=own < 0),
        }
        kept = {"session_id": pa.array(rows.session, mask=rows.session < 0)}
        columns = [
            pa.concat_arrays(
                [
                    kept.get(name, batch.column(name)).cast(requests.schema.field(name).type),
                    drawn.get(name, like.column(name)).cast(requests.schema.field(name).type),
                ]
            )
            for name in requests.schema.names
        ]
        order = np.argsort(columns[0].to_numpy(), kind="stable")
        requests.write(pa.record_batch(columns, schema=requests.schema).take(pa.array(order)))
        if progress:
            progress(requests.rows, source.requests)
    return cells


def _fresh_sessions(source: TraceInfo, sessions: Ints) -> int:
    """The first of as many numbers in a row that no session has as there will be new sessions."""
    needed = len(sessions) * (source.sample_weight - 1)
    if not needed:
        return 0
    last = int(sessions[-1])
    if last < _MOST_SESSION - needed:
        return last + 1
    below = np.concatenate([[-1], sessions])
    room = np.flatnonzero(np.diff(below) > needed)
    if not len(room):
        raise TraceError(f"trace {source.name}: its session numbers leave no room for {needed:,} more")
    return int(below[room[0]]) + 1


def _sample_notes(source: _Source, found: _Survey, cells: int) -> tuple[str, ...]:
    trace = source.trace
    drawn = source.requests - source.rows
    notes = [
        f"{drawn:,} of {source.requests:,} requests are drawn by seed; every {CELL_US // US_PER_MINUTE} minutes have "
        f"{trace.sample_weight:,} times the requests and tokens of the sample, and each drawn request the lengths and "
        "the class of one of its rows there"
    ]
    bursts = np.flatnonzero(found.shares)
    if len(bursts):
        shortest_s = CELL_US / US_PER_S / 2 ** (int(bursts[-1]) + 1)
        notes.append(f"arrivals follow bursts that the sample shows, down to {shortest_s:.3g} s")
    else:
        notes.append(
            "the sample shows no bursts: arrivals are even within a cell, except where it begins or ends in one"
        )
    if source.rows < cells * _FEW_ROWS:
        notes.append(
            f"the sample has {source.rows / cells:,.0f} rows in a cell on average; so few leave the lengths "
            "and the load of each cell uncertain"
        )
    if len(found.sessions):
        notes.append(
            "each session is there as often as a row stands for requests, with as many requests as in the sample"
        )
        if source.part is not None:
            notes.append("of sessions that begin before the part or go on after it, the requests within it are there")
    if trace.block_tokens is not None:
        notes.append("prefix blocks are left out: which prompts the missing requests had is not known; hits are kept")
    return tuple(notes)


assert 1 << LEVELS < CELL_US, "parts of a cell are longer than a microsecond"
