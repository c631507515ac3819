"""Replaying requests through a plan: the window, a trace at full scale, both stages in threads, the account."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
import pyarrow.compute as pc

from planner.capacity.units import lives_of, service_of, table_imbalance
from planner.catalogue.scenarios import stored_scenario
from planner.core.fleet.deployment import Units
from planner.core.replay.intervals.lifetimes import ROLES
from planner.core.replay.requests.failures import UnitFailures, with_failures, with_spares
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span
from planner.core.replay.requests.stages import DecodeStage, HandOver, Lost, PrefillStage, hand_overs
from planner.core.replay.requests.window import ReplayWindow, window_of
from planner.errors import RunError, UsageError
from planner.files import version
from planner.planning.capacity import modelled_capacity
from planner.planning.plan import plan
from planner.planning.prepare import ensure_trace, prepare
from planner.runs.outcome import PlanOutcome
from planner.runs.read import RunView, load_run
from planner.runs.write import save_plan
from planner.settings.scenario import ReplaySettings, Scenario
from planner.store import Session, Store
from planner.studies.replay import account as replays
from planner.trace.stored import TraceInfo
from planner.units import S_PER_DAY, US_PER_HOUR, US_PER_S, Progress, from_us, usd

_BATCH_ROWS = 500_000
_MOST_KEPT = 20_000_000
"""Requests whose outcomes fit into memory with some room: about 100 bytes each."""
_AHEAD = 4
"""Chunks that prefill may be ahead of decode."""
NO_SPARES = Units(0, 0)


@dataclass(frozen=True)
class Replayed:
    """A finished replay, before it is stored."""

    outcome: PlanOutcome
    trace: TraceInfo
    window: ReplayWindow
    span: Span
    service: Service
    prefill_lives: Lives
    decode_lives: Lives
    prefill: PrefillStage
    decode: DecodeStage
    simulated: int
    wall_s: float
    classes: Mapping[int, str]
    requests: Requests | None
    """All that were simulated, where they are kept."""

    @property
    def measured(self) -> replays.Measured:
        """What the account is made of."""
        scenario, lives = self.outcome.scenario, {"prefill": self.prefill_lives, "decode": self.decode_lives}
        return replays.Measured(
            self.prefill,
            self.decode,
            self.span,
            self.window.from_us,
            self.window.origin_us,
            lives,
            self.service,
            scenario.fleet,
            scenario.zone,
        )


def whole_trace(
    store: Store,
    scenario: Scenario,
    trace: TraceInfo,
    window: ReplayWindow,
    *,
    now: datetime,
    progress: Progress | None,
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
    planned: RunView | None = None,
) -> Replayed:
    """Plan the scenario and replay the requests of a window through the plan. Nothing is stored but a drawn trace.

    clock: seconds, for the time that it took. keep: whether the outcome of every request is kept. spares: units beyond
    the plan's, there all the time. planned: a stored run of the scenario, whose plan this has to be. Raises UsageError,
    RunError.
    """
    outcome, kv_tokens = plan_of(store, scenario, now=now, progress=progress)
    if planned is not None:
        _check_same(planned, outcome)
    scenario, demand = outcome.scenario, outcome.demand
    window = window_of(demand, scenario.replay, start, end, whole, scenario.zone)
    trace = whole_trace(store, scenario, outcome.trace, window, now=now, progress=progress)
    from_us_, to_us_, end_us_ = window.span_us
    with store.read() as session:
        names = {row["class_id"]: row["class"] for row in session.rows("trace_class_names", trace_id=trace.trace_id)}
        stored = session.rows("trace_window_rows", **_params(trace, window))[0]
        total, rules = stored["row_count"], queue_rules(scenario.replay, trace, sessions=stored["session_rows"] > 0)
        span = Span(
            from_us=from_us_,
            to_us=to_us_,
            end_us=end_us_,
            classes=max(1, len(names)),
            ttft_us=scenario.slo.ttft_ms * 1e3,
            tpot_us=scenario.slo.tpot_ms * 1e3,
        )
        service = service_of(scenario.fleet, scenario.replay, kv_tokens)
        prefill_lives, decode_lives = (window_lives(outcome, role, window, spares) for role in ROLES)
        if keep and total > _MOST_KEPT:
            raise UsageError(
                f"{total:,} requests are simulated and at most {_MOST_KEPT:,} can be kept; count a shorter window"
            )
        kept: list[Requests] = []
        batches = requests_of(session, trace, window, blocks=_needs_blocks(rules, trace))
        ranks = scenario.fleet.decode.nodes * scenario.fleet.gpus_per_node if scenario.replay.ranks == "exact" else 1
        prefill = PrefillStage(service, prefill_lives, rules, span, keep=total if keep else 0)
        decode = DecodeStage(service, decode_lives, rules, span, keep=total if keep else 0, ranks=ranks)
        _compile(service, rules)
        begin = clock()
        run_stages(_kept_too(batches, kept) if keep else batches, prefill, decode, total, progress)
        wall_s = clock() - begin
    return Replayed(
        outcome,
        trace,
        window,
        span,
        service,
        prefill_lives,
        decode_lives,
        prefill,
        decode,
        total,
        wall_s,
        names,
        _together(kept) if keep else None,
    )


def _compile(service: Service, rules: QueueRules) -> None:
    """Have the kernels compiled, by a replay of one request: that takes a minute once, and is no time of a replay."""
    units = Lives(np.zeros(1), np.full(1, np.inf), np.full(1, np.inf))
    span = Span(from_us=0.0, to_us=US_PER_S, end_us=US_PER_S)
    prefill, decode = PrefillStage(service, units, rules, span), DecodeStage(service, units, rules, span)
    one = np.ones(1, np.int64)
    for handed in (
        prefill.feed(
            Requests(
                arrival_us=0 * one,
                input_tokens=one,
                cached_input_tokens=0 * one,
                output_tokens=2 * one,
                class_id=0 * one,
                session_id=-one,
            )
        ),
        prefill.finish(),
    ):
        decode.feed(handed)
    decode.finish()


def plan_of(
    store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None
) -> tuple[PlanOutcome, float]:
    """The plan of a scenario, not stored, and the mean KV length of its requests. Raises UsageError."""
    prepared = prepare(store, scenario, now=now, progress=progress)
    with store.read() as session:
        capacity = modelled_capacity(session, scenario, prepared.trace)
    return plan(prepared), capacity.workload.kv_tokens


def is_run(name: str) -> bool:
    """Whether a name is that of a run, stored or not."""
    return re.fullmatch(r"run-\d+", name) is not None


def planned_scenario(store: Store, run_id: str, overrides: Sequence[str]) -> tuple[Scenario, RunView]:
    """A stored run and its scenario, how it is replayed possibly changed. Raises RunError, UsageError."""
    planned = load_run(store, run_id)
    for override in overrides:
        if not override.startswith(("replay.", "failures.")):
            raise UsageError(
                f"{run_id} is replayed as it was planned, so --set {override.partition('=')[0]} cannot change it; "
                "set replay.* and failures.* fields only, or name its scenario"
            )
    return stored_scenario(planned.record.settings, overrides), planned


def _check_same(planned: RunView, outcome: PlanOutcome) -> None:
    """Raises RunError where a stored plan does not come out again."""
    columns = ("prefill_units", "decode_units", "inference_nodes")
    if not all(planned.intervals[name].to_list() == getattr(outcome.plan, name).tolist() for name in columns):
        raise RunError(
            f"{planned.record.run_id} was planned by planner {planned.record.planner_version}, and its plan "
            "comes out otherwise now; plan the scenario anew"
        )


def _kept_too(batches: Iterator[Requests], kept: list[Requests]) -> Iterator[Requests]:
    for requests in batches:
        kept.append(requests)
        yield requests


def _together(kept: list[Requests]) -> Requests:
    """Chunks as one, without blocks."""
    return Requests(**{name: np.concatenate([getattr(chunk, name) for chunk in kept]) for name in Requests.COLUMNS})


def _needs_blocks(rules: QueueRules, trace: TraceInfo) -> bool:
    return trace.block_tokens is not None and (rules.block_tokens > 0 or rules.prefill_balancer == "prefix-aware")


def unit_failures(scenario: Scenario, role: str) -> UnitFailures:
    """How units of a role fail: as often as all their nodes together, each time until repaired and started up."""
    nodes = scenario.fleet.prefill.nodes if role == "prefill" else scenario.fleet.decode.nodes
    per_day = (scenario.failures.per_node_per_day or 0.0) * nodes
    down_s = scenario.failures.repair_s + scenario.fleet.start_up_s
    return UnitFailures(S_PER_DAY / per_day * US_PER_S if per_day else np.inf, float(down_s * US_PER_S))


def window_lives(outcome: PlanOutcome, role: str, window: ReplayWindow, spares: Units) -> Lives:
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


def queue_rules(settings: ReplaySettings, trace: TraceInfo, *, sessions: bool) -> QueueRules:
    """Rules of queues and balancers from settings. sessions: whether requests of the trace belong to any.

    Raises UsageError for hits by routing of a trace without blocks, and for routing by prefix of one that tells none.
    """
    if settings.hits == "routed" and trace.block_tokens is None:
        raise UsageError(f"replay.hits is routed and trace {trace.name} has no prefix blocks; use trace")
    if settings.prefill_balancer == "prefix-aware" and trace.block_tokens is None and not sessions:
        raise UsageError(
            f"replay.prefill_balancer is prefix-aware and trace {trace.name} has neither prefix blocks nor sessions; "
            "use two-key"
        )
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
        retries=settings.retries,
        retry_after_us=settings.retry_after_s * US_PER_S,
        block_tokens=(trace.block_tokens or 0) if settings.hits == "routed" else 0,
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


def _params(trace: TraceInfo, window: ReplayWindow) -> dict[str, int]:
    return {"trace_id": trace.trace_id, "start_us": window.origin_us, "end_us": window.end_us}


def requests_of(
    session: Session, trace: TraceInfo, window: ReplayWindow, *, blocks: bool = False
) -> Iterator[Requests]:
    """The window's requests in order of arrival, chunk by chunk, times from the origin. blocks: with their blocks."""
    query = "trace_window_blocks" if blocks else "trace_window"
    for batch in session.stream(query, _BATCH_ROWS, **_params(trace, window)):
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


def _starts(chains: pa.ListArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where each list begins among all values, and where the last ends."""
    starts = np.zeros(len(chains) + 1, np.int64)
    np.cumsum(pc.list_value_length(chains).to_numpy(zero_copy_only=False), out=starts[1:])
    return starts


def _ints(batch: pa.RecordBatch, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    column = batch.column(name)
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def store_replay(store: Store, done: Replayed, *, now: datetime) -> tuple[str, dict[str, Any]]:
    """Store a replay with its plan in one transaction; the run_id and the account, JSON-ready."""
    outcome, window, scenario = done.outcome, done.window, done.outcome.scenario
    settings, measured = scenario.replay, done.measured
    counted, whole = replays.counts(measured), replays.overall(measured)
    uneven = replays.imbalance(measured, exact=settings.ranks == "exact")
    uneven["rank_kv_imbalance_table"] = table_imbalance(scenario.fleet, whole["streams_per_gpu"])
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
        **uneven,
    }
    tables = {"replay_run": pl.DataFrame([row], infer_schema_length=None), **replays.frames(measured)}
    units = tables["replay_unit"]
    if done.requests is not None:
        tables["replay_request"] = replays.request_rows(measured, done.requests)
    run_id = save_plan(store, outcome, now=now, version=version(), replay=tables)
    hours = replays.hours(measured)
    for number, hour in enumerate(hours):
        start_us = window.from_us + number * US_PER_HOUR
        made = replays.delivered(measured, number)
        hour |= _cost(outcome, start_us, min(start_us + US_PER_HOUR, window.to_us), made)
    arrived = counted.pop("arrived")
    return run_id, {
        "run_id": run_id,
        "scenario": scenario.name,
        "trace": done.trace.name,
        "policy": outcome.policy,
        "capacity": scenario.fleet.capacity,
        "window_start": from_us(window.from_us, scenario.zone).isoformat(),
        "window_end": from_us(window.to_us, scenario.zone).isoformat(),
        "ranks": settings.ranks,
        "balancers": {"prefill": settings.prefill_balancer, "decode": settings.decode_balancer},
        "queue_mode": settings.queue_mode,
        "hits": settings.hits,
        "requests": arrived,
        **counted,
        "moved": done.decode.moved,
        "failures": replays.failures(measured),
        "simulated_requests": done.simulated,
        "wall_s": done.wall_s,
        "requests_per_s": done.simulated / done.wall_s if done.wall_s else None,
        **whole,
        **_cost(outcome, window.from_us, window.to_us, replays.delivered(measured, None)),
        "imbalance": uneven,
        "drain_s": replays.drains(units, "decode"),
        "prefill_drain_s": replays.drains(units, "prefill"),
        "missed_limits": replays.missed_limits(scenario.slo, whole["slo"]["both_attainment"]),
        "classes": replays.classes(measured, done.classes),
        "hours": hours,
    }


def _cost(outcome: PlanOutcome, start_us: int, end_us: int, tokens: float) -> dict[str, float | None]:
    """What inference costs in a time by the plan, intervals by their part, and per million of the tokens delivered."""
    grid = outcome.demand.grid
    inside = np.minimum(grid.starts_us + grid.interval_us, end_us) - np.maximum(grid.starts_us, start_us)
    part = np.maximum(inside, 0) / grid.interval_us
    spent = usd(round(float(np.array(outcome.costs.inference, np.float64) @ part)))
    return {
        "cost_usd": spent,
        "output_tokens": tokens,
        "cost_usd_per_million_output_tokens": spent / tokens * 1e6 if tokens else None,
    }
