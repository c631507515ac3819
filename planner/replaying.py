"""Replaying requests through a plan: the window, a trace at full scale, both stages in threads, the account."""

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, Full, Queue
from threading import Event
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from planner import replays
from planner.demand import Demand
from planner.errors import UsageError
from planner.fleet.deployment import Units
from planner.pipeline import Progress, compute_plan, ensure_trace, modelled_capacity, version
from planner.replay.engine import DecodeStage, HandOver, Lost, PrefillStage, Span, hand_overs
from planner.replay.failures import UnitFailures, with_failures, with_spares
from planner.replay.lifetimes import ROLES
from planner.replay.model import Lives, QueueRules, Requests, Service
from planner.results import PlanOutcome, save_plan
from planner.scenario.models import ReplaySettings, Scenario
from planner.service import lives_of, service_of
from planner.store import Session, Store
from planner.trace.bins import binned
from planner.trace.catalogue import TraceInfo
from planner.units import S_PER_DAY, US_PER_HOUR, US_PER_S, from_us, usd

_BATCH_ROWS = 500_000
_AHEAD = 4
"""Chunks that prefill may be ahead of decode."""
NO_SPARES = Units(0, 0)


@dataclass(frozen=True)
class Window:
    """What is counted, and what is simulated around it: UTC epoch microseconds."""

    from_us: int
    to_us: int
    origin_us: int
    end_us: int

    @property
    def span_us(self) -> tuple[float, float, float]:
        """from, to and end from the origin."""
        return self.from_us - self.origin_us, self.to_us - self.origin_us, self.end_us - self.origin_us


@dataclass(frozen=True)
class Replayed:
    """A finished replay, before it is stored."""

    outcome: PlanOutcome
    trace: TraceInfo
    window: Window
    span: Span
    service: Service
    prefill_lives: Lives
    decode_lives: Lives
    prefill: PrefillStage
    decode: DecodeStage
    simulated: int
    wall_s: float


def busiest_hour(demand: Demand) -> tuple[int, int]:
    """The hour with the most output tokens: from and to, UTC epoch microseconds."""
    hour_us = 3600 * US_PER_S
    hours = demand.grid.starts_us // hour_us
    distinct = np.unique(hours)
    tokens = [int(demand.output_tokens[hours == hour].sum()) for hour in distinct]
    start = int(distinct[int(np.argmax(tokens))]) * hour_us
    return max(start, demand.grid.start_us), min(start + hour_us, demand.grid.end_us)


def window_of(
    demand: Demand, settings: ReplaySettings, start: datetime | None, end: datetime | None, whole: bool
) -> Window:
    """What to count, and around it the warm-up before and the cool-down after, inside the plan.

    Raises UsageError as `counted_window`, and for a window too close to the plan's beginning to be warmed up.
    """
    warm_up_us = settings.warm_up_s * US_PER_S
    from_us, to_us = counted_window(demand, settings, start, end, whole)
    if from_us - warm_up_us < demand.grid.start_us:
        raise UsageError(
            f"a replay warms up for {settings.warm_up_s // 60} min and the plan begins at "
            f"{from_us_text(demand.grid.start_us)}; "
            f"count from {from_us_text(demand.grid.start_us + warm_up_us)} or later"
        )
    quarter = 900 * US_PER_S
    origin = max(demand.grid.start_us, (from_us - warm_up_us) // quarter * quarter)
    end_us = min(demand.grid.end_us, -(-(to_us + settings.cool_down_s * US_PER_S) // quarter) * quarter)
    return Window(from_us, to_us, origin, end_us)


def counted_window(
    demand: Demand, settings: ReplaySettings, start: datetime | None, end: datetime | None, whole: bool
) -> tuple[int, int]:
    """The window that is asked for, from and to, UTC epoch microseconds.

    whole: the whole plan after its warm-up. All left out: the busiest hour. Raises UsageError for a window that is
    empty or not inside the plan.
    """
    warm_up_us = settings.warm_up_s * US_PER_S
    if start is None and end is None and not whole:
        from_us, to_us = busiest_hour(demand)
    else:
        from_us = demand.grid.start_us + warm_up_us if start is None else round(start.timestamp() * US_PER_S)
        to_us = demand.grid.end_us if end is None else round(end.timestamp() * US_PER_S)
    first, last = (from_us_text(at) for at in (demand.grid.start_us, demand.grid.end_us))
    if not demand.grid.start_us <= from_us < to_us <= demand.grid.end_us:
        raise UsageError(f"the window is empty or not inside the plan, from {first} to {last}; correct --from and --to")
    return from_us, to_us


def from_us_text(at_us: int) -> str:
    """ISO-8601 in UTC."""
    return from_us(at_us).isoformat()


def whole_trace(
    store: Store, scenario: Scenario, trace: TraceInfo, window: Window, *, now: datetime, progress: Progress | None
) -> TraceInfo:
    """The trace with every request of the window: as stored, or drawn anew at full scale from its profile.

    Raises UsageError for an imported sample: requests that are not there cannot be replayed.
    """
    if trace.sample_weight == 1:
        return trace
    if scenario.trace.name is not None or scenario.trace.profile is None:
        raise UsageError(
            f"trace {trace.name} is a sample, each row standing for {trace.sample_weight} requests; "
            "import it whole, or replay a profile's trace, which is drawn at full scale for the window"
        )
    settings = scenario.trace.model_copy(
        update={"scale": 1.0, "start_at": from_us(window.origin_us), "end_at": from_us(window.end_us)}
    )
    return ensure_trace(store, scenario.model_copy(update={"trace": settings}), now=now, progress=progress)


def replay(
    store: Store,
    scenario: Scenario,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    whole: bool = False,
    now: datetime,
    clock: Callable[[], float],
    keep: bool = False,
    spares: Units = NO_SPARES,
    progress: Progress | None = None,
) -> Replayed:
    """Plan the scenario and replay the requests of a window through the plan. Nothing is stored but a drawn trace.

    clock: seconds, for the time that it took. keep: whether the outcome of every request is kept. spares: units
    beyond the plan's, there all the time. Raises UsageError.
    """
    sample = ensure_trace(store, scenario, now=now, progress=progress)
    with store.read() as session:
        demand = binned(session, sample, scenario.interval_s, scenario.zone)
        capacity = modelled_capacity(session, scenario, sample)
    outcome = compute_plan(scenario, sample, demand)
    window = window_of(demand, scenario.replay, start, end, whole)
    trace = whole_trace(store, scenario, sample, window, now=now, progress=progress)
    from_us_, to_us_, end_us_ = window.span_us
    with store.read() as session:
        classes = max(1, session.rows("trace_classes", trace_id=trace.trace_id)[0]["classes"])
        total = session.rows("trace_window_rows", **_params(trace, window))[0]["row_count"]
        span = Span(from_us_, to_us_, end_us_, classes, scenario.slo.ttft_ms * 1e3, scenario.slo.tpot_ms * 1e3)
        service = service_of(scenario.fleet, scenario.replay, capacity.workload.kv_tokens)
        prefill_lives, decode_lives = (window_lives(outcome, role, window, spares) for role in ROLES)
        rules = queue_rules(scenario.replay)
        ranks = scenario.fleet.decode.nodes * scenario.fleet.gpus_per_node if scenario.replay.ranks == "exact" else 1
        prefill = PrefillStage(service, prefill_lives, rules, span)
        decode = DecodeStage(service, decode_lives, rules, span, keep=total if keep else 0, ranks=ranks)
        begin = clock()
        run_stages(requests_of(session, trace, window), prefill, decode, total, progress)
    return Replayed(
        outcome, trace, window, span, service, prefill_lives, decode_lives, prefill, decode, total, clock() - begin
    )


def unit_failures(scenario: Scenario, role: str) -> UnitFailures:
    """How units of a role fail: as often as all their nodes together, each time until repaired and started up."""
    nodes = scenario.fleet.prefill.nodes if role == "prefill" else scenario.fleet.decode.nodes
    per_day = (scenario.failures.per_node_per_day or 0.0) * nodes
    down_s = scenario.failures.repair_s + scenario.fleet.start_up_s
    return UnitFailures(S_PER_DAY / per_day * US_PER_S if per_day else np.inf, float(down_s * US_PER_S))


def window_lives(outcome: PlanOutcome, role: str, window: Window, spares: Units) -> Lives:
    """Units of a role in a window, times from its origin: the plan's and some that are always there, with failures."""
    scenario = outcome.scenario
    origin_s = (window.origin_us - outcome.demand.grid.start_us) / US_PER_S
    planned = lives_of(outcome.plan.lives, role, origin_s, scenario.fleet.drain_deadline_s)
    return with_failures(
        with_spares(planned, getattr(spares, role)),
        unit_failures(scenario, role),
        seed=scenario.failures.seed,
        role=ROLES.index(role),
        end_us=window.span_us[2],
    )


def queue_rules(settings: ReplaySettings) -> QueueRules:
    """Rules of queues and balancers from settings."""
    return QueueRules(
        prefill_balancer=settings.prefill_balancer,
        decode_balancer=settings.decode_balancer,
        seed=settings.seed,
        mode=settings.queue_mode,
        window_us=settings.window_ms * 1e3,
        depth_from=tuple(depth for depth, _ in settings.depths),
        depth_batch=tuple(batch for _, batch in settings.depths),
        queue_limit=settings.queue_limit,
        timeout_us=np.inf if settings.timeout_s is None else settings.timeout_s * US_PER_S,
    )


def run_stages(
    batches: Iterator[Requests], prefill: PrefillStage, decode: DecodeStage, total: int, progress: Progress | None
) -> None:
    """Both stages to the end; prefill runs in a thread of its own, a few chunks ahead of decode.

    It waits for decode where units of that fail, because what they held is read again.
    """
    handed: Queue[HandOver | float | None] = Queue(_AHEAD)
    lost: Queue[Lost] = Queue()
    stop = Event()

    def put(item: HandOver | float | None) -> None:
        while not stop.is_set():
            try:
                handed.put(item, timeout=0.1)
            except Full:
                continue
            return

    def fail(at_us: float) -> Lost:
        put(at_us)
        while not stop.is_set():
            with suppress(Empty):
                return lost.get(timeout=0.1)
        raise CancelledError

    def produce() -> None:
        try:
            for item in hand_overs(batches, prefill, decode.fails_us, fail):
                if stop.is_set():
                    return
                put(item)
        finally:
            put(None)

    done = 0
    with ThreadPoolExecutor(1, thread_name_prefix="prefill") as pool:
        producer = pool.submit(produce)
        try:
            while (item := _next(handed)) is not None:
                if isinstance(item, float):
                    lost.put(decode.fail(item))
                    continue
                decode.feed(item)
                done += item.count
                if progress is not None:
                    progress(min(done, total), total)
            decode.finish()
        finally:
            stop.set()
        producer.result()


def _next(handed: "Queue[HandOver | float | None]") -> HandOver | float | None:
    while True:
        try:
            return handed.get(timeout=0.1)
        except Empty:
            continue


def _params(trace: TraceInfo, window: Window) -> dict[str, int]:
    return {"trace_id": trace.trace_id, "start_us": window.origin_us, "end_us": window.end_us}


def requests_of(session: Session, trace: TraceInfo, window: Window) -> Iterator[Requests]:
    """The window's requests in order of arrival, chunk by chunk, times from the origin."""
    for batch in session.stream("trace_window", _BATCH_ROWS, **_params(trace, window)):
        yield Requests(
            arrival_us=_ints(batch, "arrival_us") - window.origin_us,
            input_tokens=_ints(batch, "input_tokens"),
            cached_input_tokens=_ints(batch, "cached_input_tokens"),
            output_tokens=_ints(batch, "output_tokens"),
            class_id=_ints(batch, "class_id"),
            session_id=_ints(batch, "session_id"),
        )


def _ints(batch: pa.RecordBatch, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    column = batch.column(name)
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def store_replay(store: Store, done: Replayed, *, now: datetime) -> tuple[str, dict[str, Any]]:
    """Store a replay with its plan in one transaction; the run_id and the account, JSON-ready."""
    outcome, window, scenario, settings = done.outcome, done.window, done.outcome.scenario, done.outcome.scenario.replay
    counted = replays.counts(done.prefill, done.decode)
    whole = replays.summary(done.prefill, done.decode, done.service)
    measured = replays.imbalance(done.decode, window.span_us, exact=settings.ranks == "exact")
    row = {
        "window_start": from_us(window.from_us),
        "window_end": from_us(window.to_us),
        "simulated_from": from_us(window.origin_us),
        "simulated_to": from_us(window.end_us),
        "ranks": settings.ranks,
        "prefill_balancer": settings.prefill_balancer,
        "decode_balancer": settings.decode_balancer,
        **counted,
        "moved": done.decode.moved,
        "simulated_requests": done.simulated,
        "wall_s": done.wall_s,
        "kv_peak_ratio": whole["kv_peak_ratio"],
        **measured,
    }
    lives = {"prefill": done.prefill_lives, "decode": done.decode_lives}
    frames = replays.frames(done.prefill, done.decode, done.span, window.from_us, window.origin_us, lives)
    tables = {"replay_run": pl.DataFrame([row], infer_schema_length=None), **frames}
    run_id = save_plan(store, outcome, now=now, version=version(), replay=tables)
    hours = replays.hours(
        done.prefill,
        done.decode,
        done.span,
        window.from_us,
        window.origin_us,
        lives,
        done.service,
        scenario.fleet,
        scenario.zone,
    )
    for number, hour in enumerate(hours):
        hour |= _cost(outcome, window.from_us + number * US_PER_HOUR, window.to_us)
    return run_id, {
        "run_id": run_id,
        "scenario": scenario.name,
        "trace": done.trace.name,
        "policy": outcome.policy,
        "window_start": from_us(window.from_us, scenario.zone).isoformat(),
        "window_end": from_us(window.to_us, scenario.zone).isoformat(),
        "ranks": settings.ranks,
        "balancers": {"prefill": settings.prefill_balancer, "decode": settings.decode_balancer},
        "requests": counted["arrived"],
        "completed": counted["completed"],
        "in_flight": counted["in_flight"],
        "rejected": counted["rejected"],
        "moved": done.decode.moved,
        "failures": replays.failures(done.prefill, done.decode, lives, done.span.end_us),
        "simulated_requests": done.simulated,
        "wall_s": done.wall_s,
        "requests_per_s": done.simulated / done.wall_s if done.wall_s else None,
        **whole,
        "imbalance": measured,
        "drain_s": replays.drains(done.decode),
        "hours": hours,
    }


def _cost(outcome: PlanOutcome, start_us: int, end_us: int) -> dict[str, float | None]:
    """What the plan's intervals that begin in an hour of the window cost, and per million output tokens."""
    starts = outcome.demand.grid.starts_us
    inside = (starts >= start_us) & (starts < min(start_us + US_PER_HOUR, end_us))
    spent = usd(int(np.array(outcome.costs.inference, np.int64)[inside].sum()))
    tokens = int(outcome.demand.output_tokens[inside].sum())
    return {"cost_usd": spent, "cost_usd_per_million_output_tokens": spent / tokens * 1e6 if tokens else None}
