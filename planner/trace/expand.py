"""A sample, or demand per window, as a trace with every request: the missing ones are drawn by seed."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.core.expansion import LEVELS, CellRows, Unevenness, missing_requests
from planner.documents import Document, Maybe, to_json
from planner.errors import TraceError, UsageError
from planner.store import Session, Store
from planner.store.traces import REQUEST_SCHEMA
from planner.trace import stored, windows
from planner.trace.describe import summarize
from planner.trace.documents import Coverage, ExpandedTrace
from planner.trace.spool import TOKENS, Spool
from planner.trace.stored import Draft, ExpandedFrom, NamedSpan, TraceInfo
from planner.trace.windows import DemandWindows
from planner.units import US_PER_S, Floats, Ints, Progress

_EXPANDER = 1
"""Version of the drawing method: raised whenever the same trace and seed would give other requests."""
CELL_S = 900
"""Time in which totals stay those of the sample: quarters of an hour, as the intervals of plans are by default."""
_CELL_US = CELL_S * US_PER_S
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
    """The trace that was expanded."""

    trace: str
    sample_weight: int
    rows_kept: int


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

    shares: how unevenly rows divide, by level. sessions: all ids, in order. cells: those that have rows.
    """

    shares: Floats
    sessions: Ints
    cells: int
    classes: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The columns that the requests have."""
        absent = {"class_id": not self.classes, "session_id": not len(self.sessions)}
        return pa.schema([item for item in REQUEST_SCHEMA if not absent.get(item.name)])


def expand(
    store: Store,
    name: str,
    to: str,
    *,
    seed: int,
    now: datetime,
    version: str,
    progress: Progress | None = None,
) -> ExpandedTrace:
    """Store a trace with every request that a sample, or demand per window, stands for.

    The store is locked only while the finished rows are loaded. Where the same was expanded by the same seed under this
    name, that trace is returned. Raises TraceError for a trace that has every request, and for a name that is taken.
    """
    if not to.strip():
        raise UsageError("--to is empty; give the expanded trace a name")
    with store.read() as session:
        source = stored.by_name(session, name)
        _check(source)
        digest = _digest(source, seed)
        known = stored.by_digest(session, digest)
        if known and known.name == to:
            return _account(known, is_known=True)
        stored.require_free_name(session, to)
        found = _windows_of(session, source) if source.windowed else _survey(session, source)
    schema = found.schema if isinstance(found, _Survey) else windows.EVEN_SCHEMA
    with Spool(schema, store.path.parent) as requests:
        if isinstance(found, _Survey):
            with store.read() as session:
                _expand_sample(session, source, found, seed, requests, progress)
        else:
            for batch in windows.draw_evenly(found, 1, seed):
                requests.write(batch)
        notes = _sample_notes(source, found) if isinstance(found, _Survey) else _window_notes(found, source, requests)
        draft = Draft(
            name=to,
            origin="expanded",
            settings=_settings(source, seed, notes),
            settings_digest=digest,
            timezone=source.timezone,
            sample_weight=1,
            window_us=_window_us(source, requests),
            created_at=now,
            planner_version=version,
            classes=found.classes if isinstance(found, _Survey) else (),
        )
        return _account(stored.add(store, draft, requests), is_known=False)


def _check(source: TraceInfo) -> None:
    if not source.windowed and source.sample_weight == 1:
        raise TraceError(f"trace {source.name} has every request, so nothing is missing; replay it as it is")
    windows.check_rows(source.requests, 1, f"trace {source.name}", "expand a trace of a shorter time")


def _digest(source: TraceInfo, seed: int) -> str:
    return hashlib.sha256(json.dumps(["expanded", _EXPANDER, source.settings_digest, seed]).encode()).hexdigest()


def _settings(source: TraceInfo, seed: int, notes: tuple[str, ...]) -> str:
    kept = 0 if source.windowed else source.row_count
    arguments = _Arguments(
        seed=seed,
        expanded_from=_Origin(trace=source.name, sample_weight=source.sample_weight, rows_kept=kept),
        span=_span(source),
        coverage=source.arguments.coverage,
        notes=notes,
    )
    return json.dumps(to_json(arguments))


def _span(source: TraceInfo) -> _Span | None:
    """The time that the trace covers, where its profile or its import named it."""
    span = source.arguments.span
    if span is None and source.profile is not None:
        span = NamedSpan(start_s=source.window_start_us // US_PER_S, end_s=-(-source.window_end_us // US_PER_S))
    return None if span is None else _Span(start_s=span.start_s, end_s=span.end_s)


def _window_us(source: TraceInfo, requests: Spool) -> tuple[int, int]:
    """The time that the expanded trace covers."""
    assert requests.first_arrival_us is not None
    assert requests.last_arrival_us is not None
    start_us = min(source.window_start_us, requests.first_arrival_us)
    return start_us, max(source.window_end_us, requests.last_arrival_us + 1)


def _account(info: TraceInfo, *, is_known: bool) -> ExpandedTrace:
    origin = info.arguments.expanded_from or ExpandedFrom()
    return ExpandedTrace(
        **vars(summarize(info)),
        expanded_from=origin.trace,
        seed=info.arguments.seed or 0,
        rows_kept=origin.rows_kept,
        rows_drawn=info.row_count - origin.rows_kept,
        notes=info.arguments.notes or (),
        is_known=is_known,
    )


def _windows_of(session: Session, source: TraceInfo) -> DemandWindows:
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
    if not found.requests.sum():
        raise TraceError(f"trace {source.name} counts no request with known lengths, so none can be drawn")
    return found


def _window_notes(found: DemandWindows, source: TraceInfo, requests: Spool) -> tuple[str, ...]:
    notes = [
        "requests are drawn from demand per window: arrivals are even within a window, and all requests of a window "
        "have its mean lengths, so latencies lack the variety of real requests"
    ]
    lone = (found.requests == 0) & (found.input_tokens + found.output_tokens > 0)
    if lone.any():
        notes.append(f"{int(lone.sum()):,} windows have tokens and no request; the next one that has some carries them")
    lost = {name: int(getattr(found, name).sum()) - requests.sums[name] for name in TOKENS}
    notes += [
        f"{count:,} {name.replace('_', ' ')} have no request to carry them" for name, count in lost.items() if count
    ]
    if source.row_count > requests.rows:
        notes.append(f"{source.row_count - requests.rows:,} requests of unknown lengths are left out")
    return tuple(notes)


def _survey(session: Session, source: TraceInfo) -> _Survey:
    unevenness, cells = Unevenness(), 0
    sessions = np.empty(0, np.int64)
    held: list[Ints] = []
    for batch in _cells(session, source):
        rows = _rows_of(batch, source)
        unevenness.add(rows)
        cells += 1
        held.append(np.unique(rows.session[rows.session >= 0]))
        if sum(map(len, held)) > _BATCH_ROWS:
            sessions, held = np.unique(np.concatenate([sessions, *held])), []
    return _Survey(
        shares=unevenness.shares(),
        sessions=np.unique(np.concatenate([sessions, *held])),
        cells=cells,
        classes=tuple(row["class"] for row in session.rows("trace_class_names", trace_id=source.trace_id)),
    )


def _cells(session: Session, source: TraceInfo) -> Iterator[pa.RecordBatch]:
    """The rows of a sample, cell by cell; cells without rows are left out."""
    held: list[pa.RecordBatch] = []
    cell = None
    for batch in session.stream("trace_rows", _BATCH_ROWS, trace_id=source.trace_id):
        at = batch.column("arrival_us").to_numpy() // _CELL_US
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
    start_us = at_us // _CELL_US * _CELL_US
    length_us = source.last_arrival_us - source.first_arrival_us
    gap_us = 0 if source.window_is_named else length_us // max(source.row_count - 1, 1)
    begin_us, end_us = source.window_start_us - gap_us, source.window_end_us + gap_us
    return max(start_us, begin_us), min(start_us + _CELL_US, end_us)


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
    session: Session, source: TraceInfo, found: _Survey, seed: int, requests: Spool, progress: Progress | None
) -> None:
    """The rows of a sample and what is missing, in order of arrival."""
    copies = source.sample_weight - 1
    fresh = _fresh_sessions(source, found.sessions)
    for batch in _cells(session, source):
        first_us = int(batch.column("arrival_us")[0].as_py())
        stream = np.random.SeedSequence(seed, spawn_key=(_STREAM, first_us // _CELL_US + _CELL_OFFSET))
        rows = _rows_of(batch, source)
        missing = missing_requests(rows, source.sample_weight, found.shares, np.random.default_rng(stream))
        like = batch.take(pa.array(missing.row))
        own = rows.session[missing.row]
        numbers = fresh + np.searchsorted(found.sessions, own) * copies + missing.copy
        drawn = {
            "arrival_us": pa.array(_bounds_us(first_us, source)[0] + missing.offset_us),
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


def _sample_notes(source: TraceInfo, found: _Survey) -> tuple[str, ...]:
    drawn = source.requests - source.row_count
    notes = [
        f"{drawn:,} of {source.requests:,} requests are drawn by seed; every {CELL_S // 60} minutes have "
        f"{source.sample_weight:,} times the requests and tokens of the sample, and each drawn request the lengths and "
        "the class of one of its rows there"
    ]
    bursts = np.flatnonzero(found.shares)
    if len(bursts):
        shortest_s = CELL_S / 2 ** (int(bursts[-1]) + 1)
        notes.append(f"arrivals follow bursts that the sample shows, down to {shortest_s:.3g} s")
    else:
        notes.append(
            "the sample shows no bursts: arrivals are even within a cell, except where it begins or ends in one"
        )
    if source.row_count < found.cells * _FEW_ROWS:
        notes.append(
            f"the sample has {source.row_count / found.cells:,.0f} rows in a cell on average; so few leave the lengths "
            "and the load of each cell uncertain"
        )
    if len(found.sessions):
        notes.append(
            "each session is there as often as a row stands for requests, with as many requests as in the sample"
        )
    if source.block_tokens is not None:
        notes.append("prefix blocks are left out: which prompts the missing requests had is not known; hits are kept")
    return tuple(notes)


assert 1 << LEVELS < _CELL_US, "parts of a cell are longer than a microsecond"
