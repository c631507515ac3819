"""Every request of a window through the pool of a mixed fleet that it is routed to."""

from datetime import datetime

import numpy as np

from planner.core.demand import Demand
from planner.core.replay.requests.split import PoolPart, Router
from planner.core.replay.requests.window import ReplayWindow, window_of
from planner.errors import UsageError
from planner.planning.allowance import check_own_hits
from planner.planning.notes import SAMPLED
from planner.planning.selection import reading
from planner.runs.limits import under_attainment
from planner.store import Store
from planner.studies.mixed.document import MixedReplayDocument, MixHour, ReplayedPool
from planner.studies.mixed.figures import mix_notes
from planner.studies.mixed.file import LoadedMix
from planner.studies.mixed.plan import prepare_mix
from planner.studies.mixed.together import Together
from planner.studies.replay import account
from planner.studies.replay.document import ReplayDocument
from planner.studies.replay.requests import count_rows
from planner.studies.replay.rules import OF_REQUESTS, check_settings
from planner.studies.replay.run import Replayed, replay_planned
from planner.studies.replay.store import store_replay
from planner.units import US_PER_HOUR, Clock, Progress, from_us


def replay_mix(
    store: Store,
    mix: LoadedMix,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    whole: bool = False,
    now: datetime,
    clock: Clock,
    progress: Progress | None = None,
) -> MixedReplayDocument:
    """Plan the pools of a mixed fleet, and replay every request of a window through one of them.

    A request's pool is drawn by the weights of its interval and class, by replay.seed and its place in the window, but
    for later turns of sessions, which stay where the turn before went as long as that pool has a share. The
    replay of every pool is stored as a run. start, end, whole, clock: as for `planner.replay`; the busiest hour is that
    of all requests. Warm-up, cool-down and seed are the first pool's. Raises UsageError, TraceError, RunError,
    StoreError.
    """
    _check_open(mix)
    for scenario in mix.scenarios:
        check_settings(scenario)
    inputs = prepare_mix(store, mix, now=now, progress=progress, replayed=True)
    first, split = mix.scenarios[0], inputs.split(mix.fleet.split)
    window = window_of(inputs.demand, first.replay, start, end, whole, first.zone)
    router = Router(grid=inputs.demand.grid, weights=split.weights, seed=first.replay.seed)
    done = [
        replay_planned(
            store,
            outcome,
            window,
            now=now,
            clock=clock,
            part=PoolPart(router=router, number=number, demand=inputs.demand),
            progress=progress,
        )
        for number, outcome in enumerate(inputs.plans(split))
    ]
    documents = [store_replay(store, each, now=now)[1] for each in done]
    shares = _routed_shares([each.outcome.demand for each in done], window)
    # what is replayed is the whole trace, where the plans' is a sample of it
    sampled = done[0].trace.sample_weight != inputs.trace.sample_weight
    notes = [note for note in mix_notes(inputs, split) if not (sampled and note.startswith(SAMPLED))]
    with reading(store, first, done[0].trace) as session:
        if count_rows(session, done[0].trace, window).session_rows:
            notes.append(_session_note(mix, documents, shares))
    return _document(mix, done, documents, shares, tuple(notes))


def _check_open(mix: LoadedMix) -> None:
    """Raises UsageError where turns of a session would wait for those in another pool, or hits are set."""
    for scenario in mix.scenarios:
        check_own_hits(scenario, OF_REQUESTS)
        if scenario.replay.sessions == "closed":
            raise UsageError(
                f"{scenario.name}: replay.sessions is closed, and the turns of a session may go to several pools; set "
                "replay.sessions=open"
            )


def _routed_shares(demands: list[Demand], window: ReplayWindow) -> list[float]:
    """The share of the window's requests that each pool's plan counts on, intervals pro rata."""
    grid = demands[0].grid
    inside = np.minimum(grid.starts_us + grid.interval_us, window.to_us) - np.maximum(grid.starts_us, window.from_us)
    counts = [float(np.maximum(inside, 0) @ demand.requests) for demand in demands]
    return [count / sum(counts) if sum(counts) else 0.0 for count in counts]


def _session_note(mix: LoadedMix, documents: list[ReplayDocument], shares: list[float]) -> str:
    """What it does to shares that sessions stay in their pools."""
    every = sum(each.requests for each in documents)
    told = ", ".join(
        f"{name} {each.requests / every if every else 0.0:.1%} ({share:.1%})"
        for name, each, share in zip(mix.names, documents, shares, strict=True)
    )
    return (
        "a later turn of a session goes to the pool of the turn before, where that has a share of its class in the "
        f"interval, and others by the weights: pools got of the requests, and by the weights alone, {told}"
    )


def _document(
    mix: LoadedMix,
    done: list[Replayed],
    documents: list[ReplayDocument],
    shares: list[float],
    notes: tuple[str, ...],
) -> MixedReplayDocument:
    together = Together(tuple(each.results for each in done))
    slo = account.measure_attainment(together, None)
    strictest = max((scenario.slo for scenario in mix.scenarios), key=lambda each: each.min_attainment or 0.0)
    cost_usd, tokens = (sum(getattr(each, name) for each in documents) for name in ("cost_usd", "output_tokens"))
    window, zone = done[0].results.window, mix.scenarios[0].zone
    outcomes = account.count_requests(together, None)
    return MixedReplayDocument(
        name=mix.fleet.name,
        split=mix.fleet.split,
        trace=done[0].trace.name,
        window_start=from_us(window.from_us, zone),
        window_end=from_us(window.to_us, zone),
        **vars(outcomes),
        in_flight=sum(each.in_flight for each in documents),
        retried=sum(each.retried for each in documents),
        **vars(account.measure_quality(together, None)),
        slo=slo,
        cost_usd=cost_usd,
        output_tokens=tokens,
        cost_usd_per_million_output_tokens=cost_usd / tokens * 1e6 if tokens else None,
        pools=tuple(
            _pool(name, each, outcomes.requests, share)
            for name, each, share in zip(mix.names, documents, shares, strict=True)
        ),
        classes=account.summarise_classes(together, done[0].classes),
        hours=tuple(
            MixHour(
                start=from_us(window.from_us + number * US_PER_HOUR, zone),
                **vars(account.count_requests(together, number)),
                **vars(account.measure_attainment(together, number)),
                **vars(account.measure_quality(together, number)),
            )
            for number in range(together.span.hours)
        ),
        missed_limits=tuple(under_attainment(strictest.min_attainment, slo.both_attainment)),
        notes=notes,
    )


def _pool(name: str, document: ReplayDocument, all_requests: int, routed_share: float) -> ReplayedPool:
    return ReplayedPool(
        name=name,
        run_id=document.run_id,
        requests=document.requests,
        completed=document.completed,
        rejected=document.rejected,
        in_flight=document.in_flight,
        retried=document.retried,
        request_share=document.requests / all_requests if all_requests else 0.0,
        routed_share=routed_share,
        ttft_ms=document.ttft_ms,
        tpot_ms=document.tpot_ms,
        e2e_ms=document.e2e_ms,
        goodput_requests_per_s=document.goodput_requests_per_s,
        hit_ratio=document.hit_ratio,
        slo=document.slo,
        cost_usd=document.cost_usd,
        output_tokens=document.output_tokens,
        cost_usd_per_million_output_tokens=document.cost_usd_per_million_output_tokens,
        ttft_target_ms=document.ttft_target_ms,
        tpot_target_ms=document.tpot_target_ms,
        simulated_requests=document.simulated_requests,
        wall_s=document.wall_s,
        notes=document.notes,
    )
