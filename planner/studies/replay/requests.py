"""The requests that are replayed: a window of a stored trace, chunk by chunk, at full scale."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.core.replay.requests.model import QueueRules, Requests
from planner.core.replay.requests.split import PoolPart, RoutedSessions
from planner.core.replay.requests.window import ReplayWindow
from planner.errors import UsageError
from planner.planning.prepare import ensure_trace
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.trace.stored import TraceInfo
from planner.units import Ints, Progress, from_us

_BATCH_ROWS = 100_000
"""Requests that are read at once. Measured: two stages take half the time of chunks of 500,000, which go past the
cache, and as long as with 50,000."""
_COLUMNS = tuple(column.name for column in fields(Requests) if not column.name.startswith("block_"))
"""What every request has."""


@dataclass(frozen=True)
class WindowRows:
    """Requests of a trace in a window, and how many of them belong to a session."""

    row_count: int
    session_rows: int


def ensure_whole_trace(
    store: Store,
    scenario: Scenario,
    trace: TraceInfo,
    window: ReplayWindow,
    *,
    now: datetime,
    progress: Progress | None,
) -> TraceInfo:
    """The trace with every request of the window: as stored, or drawn again at full scale from its profile.

    Raises UsageError for an imported sample: requests that are not there cannot be replayed.
    """
    if trace.sample_weight == 1:
        return trace
    check_drawn(scenario, trace)
    settings = scenario.trace.model_copy(
        update={"scale": 1.0, "start_at": from_us(window.origin_us), "end_at": from_us(window.end_us)}
    )
    return ensure_trace(store, scenario.model_copy(update={"trace": settings}), now=now, progress=progress)


def check_drawn(scenario: Scenario, trace: TraceInfo) -> None:
    """Raises UsageError for an imported sample: what is not there of it cannot be drawn."""
    if trace.sample_weight > 1 and (scenario.trace.name is not None or scenario.trace.profile is None):
        raise UsageError(
            f"trace {trace.name} is a sample, each row standing for {trace.sample_weight} requests; draw the "
            f"missing ones with `planner trace expand {shlex.quote(trace.name)} --to FULL` and replay that"
        )


def count_rows(session: Session, trace: TraceInfo, window: ReplayWindow) -> WindowRows:
    """How many requests a window has, warm-up and cool-down included."""
    (rows,) = session.records("trace_window_rows", WindowRows, **_params(trace, window))
    return rows


def class_names(session: Session, trace: TraceInfo) -> dict[int, str]:
    """Names of a trace's classes by number."""
    return {row["class_id"]: row["class"] for row in session.rows("trace_class_names", trace_id=trace.trace_id)}


def needs_blocks(rules: QueueRules, trace: TraceInfo) -> bool:
    """Whether the rules look at the prefix blocks that a trace has."""
    return trace.block_tokens is not None and (rules.block_tokens > 0 or rules.prefill_balancer == "prefix-aware")


def requests_of(
    session: Session, trace: TraceInfo, window: ReplayWindow, *, blocks: bool = False
) -> Iterator[Requests]:
    """The window's requests in order of arrival, chunk by chunk, times from the origin. blocks: with their blocks."""
    params = _params(trace, window)
    if blocks:
        query = "trace_window_blocks"
    else:
        query = "trace_window_stored" if _lie_in_order(session, params) else "trace_window"
    for batch in session.stream(query, _BATCH_ROWS, **params):
        chains = batch.column("block_ids") if blocks else None
        yield Requests(
            arrival_us=_ints(batch, "arrival_us") - window.origin_us,
            input_tokens=_ints(batch, "input_tokens"),
            cached_input_tokens=_ints(batch, "cached_input_tokens"),
            output_tokens=_ints(batch, "output_tokens"),
            class_id=_ints(batch, "class_id"),
            session_id=_ints(batch, "session_id"),
            block_from=None if chains is None else _starts(chains),
            block_ids=None if chains is None else chains.flatten().to_numpy(zero_copy_only=False).astype(np.int64),
        )


def _lie_in_order(session: Session, params: dict[str, int]) -> bool:
    """Whether a window's requests are stored in order of arrival, as all that writes traces does.

    To sort them takes three times as long as to read them, which this look at one column does not.
    """
    in_order, last_us = True, np.iinfo(np.int64).min
    for batch in session.stream("trace_window_order", _BATCH_ROWS, **params):
        at_us = _ints(batch, "arrival_us")
        in_order = in_order and bool(at_us[0] >= last_us and (at_us[1:] >= at_us[:-1]).all())
        last_us = at_us[-1]
    return in_order


def requests_of_pool(batches: Iterator[Requests], part: PoolPart, origin_us: int) -> Iterator[Requests]:
    """What a pool gets of the requests of a window, chunk by chunk. origin_us: as in the window."""
    routed = RoutedSessions(part.router, origin_us)
    for requests in batches:
        own = requests.only(routed.pools(requests) == part.number)
        if len(own):
            yield own


def keep_chunks(batches: Iterator[Requests], kept: list[Requests]) -> Iterator[Requests]:
    """The same chunks, each of which is appended to a list as it passes."""
    for requests in batches:
        kept.append(requests)
        yield requests


def concatenate(chunks: list[Requests]) -> Requests:
    """Chunks as one, at least one, without their blocks."""
    return Requests(**{name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in _COLUMNS})


def with_blocks(chunks: list[Requests]) -> Requests:
    """Chunks as one, at least one, with their blocks where they have any."""
    whole = concatenate(chunks)
    counts, ids = [], []
    for chunk in chunks:
        if chunk.block_from is None or chunk.block_ids is None:
            return whole
        counts.append(np.diff(chunk.block_from))
        ids.append(chunk.block_ids)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return replace(whole, block_from=starts, block_ids=np.concatenate(ids))


def _params(trace: TraceInfo, window: ReplayWindow) -> dict[str, int]:
    return {"trace_id": trace.trace_id, "start_us": window.origin_us, "end_us": window.end_us}


def _starts(chains: pa.ListArray) -> Ints:
    """Where each list begins among all values, and where the last ends."""
    starts = np.zeros(len(chains) + 1, np.int64)
    np.cumsum(pc.list_value_length(chains).to_numpy(zero_copy_only=False), out=starts[1:])
    return starts


def _ints(batch: pa.RecordBatch, name: str) -> Ints:
    column: Ints = batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
    return column
