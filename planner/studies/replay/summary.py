"""The document of a replay, from its account and the costs of its plan."""

import numpy as np

from planner.planning.notes import SAMPLED
from planner.runs.limits import under_attainment
from planner.runs.outcome import FigureBand, PlanOutcome
from planner.studies.replay import account
from planner.studies.replay.bands import band_notes, time_factors
from planner.studies.replay.document import (
    Arrivals,
    Balancers,
    DeliveryCost,
    LatencySummary,
    LoadImbalance,
    ReplayDocument,
    ReplayHour,
    Shifts,
    UnitUse,
)
from planner.studies.replay.notes import stream_notes, target_note
from planner.studies.replay.run import Replayed
from planner.units import US_PER_HOUR, US_PER_S, from_us, usd


def summarise(
    done: Replayed,
    run_id: str,
    *,
    arrivals: Arrivals,
    use: UnitUse,
    imbalance: LoadImbalance,
    bands: tuple[FigureBand, ...],
) -> ReplayDocument:
    """The document of a replay that is stored as a run. arrivals, use, imbalance, bands: of the whole window."""
    results, scenario, window = done.results, done.outcome.scenario, done.results.window
    settings, slo = scenario.replay, account.measure_attainment(results, None)
    quality = account.measure_quality(results, None)
    hours = tuple(_hour(done, number) for number in range(results.span.hours))
    return ReplayDocument(
        run_id=run_id,
        scenario=scenario.name,
        trace=done.trace.name,
        policy=done.outcome.policy,
        serving=scenario.fleet.serving,
        capacity=scenario.fleet.capacity,
        window_start=from_us(window.from_us, scenario.zone),
        window_end=from_us(window.to_us, scenario.zone),
        ranks=settings.ranks,
        balancers=Balancers(prefill=settings.prefill_balancer, decode=settings.decode_balancer),
        queue_mode=settings.queue_mode,
        hits=settings.hits,
        requests=arrivals.arrived,
        completed=arrivals.completed,
        in_flight=arrivals.in_flight,
        rejected=arrivals.rejected,
        rejects=account.count_rejects(results),
        retried=arrivals.retried,
        waited_for_start=results.waited_for_start,
        waited_for_repair=results.waited_for_repair,
        moved=results.decode.moved,
        preempted=results.preempted,
        shifts=None if results.shifts is None else Shifts(**vars(results.shifts)),
        failures=account.count_failures(results),
        simulated_requests=done.simulated,
        wall_s=done.wall_s,
        requests_per_s=account.ratio(done.simulated, done.wall_s),
        **vars(quality),
        **vars(use),
        **vars(_delivery_cost(done, None)),
        ttft_target_ms=scenario.slo.ttft_ms,
        tpot_target_ms=scenario.slo.tpot_ms,
        slo=slo,
        kv_peak_ratio=account.kv_peak_ratio(results),
        imbalance=imbalance,
        time_factors=time_factors(done.unit_bands),
        bands=bands,
        drain_s=account.drain_times_s(results, results.role("decode")),
        prefill_drain_s=account.drain_times_s(results, "prefill") if "prefill" in results.lives else (),
        missed_limits=tuple(under_attainment(scenario.slo.min_attainment, slo.both_attainment)),
        classes=account.summarise_classes(results, done.classes),
        notes=_notes(done, quality.tpot_ms, use.tokens_per_s_per_stream, hours),
        hours=hours,
    )


def _notes(
    done: Replayed, tpot_ms: LatencySummary, stream_tokens_per_s: float | None, hours: tuple[ReplayHour, ...]
) -> tuple[str, ...]:
    outcome, window = done.outcome, done.results.window
    first_us = outcome.demand.grid.start_us + outcome.scenario.replay.warm_up_s * US_PER_S
    whole = window.from_us <= first_us and window.to_us >= outcome.demand.grid.end_us
    streams = stream_notes(outcome.scenario, outcome.trace, stream_tokens_per_s, hours, whole=whole)
    # what is replayed is the whole trace, where the plan's is a sample of it
    sampled = done.trace.sample_weight != outcome.trace.sample_weight
    planned = [note for note in outcome.notes if not (sampled and note.startswith(SAMPLED))]
    return tuple(
        dict.fromkeys(
            (*done.notes, target_note(outcome.scenario.slo, tpot_ms), *streams, *band_notes(done.ends), *planned)
        )
    )


def _hour(done: Replayed, number: int) -> ReplayHour:
    results = done.results
    return ReplayHour(
        start=from_us(results.window.from_us + number * US_PER_HOUR, results.zone),
        **vars(account.count_requests(results, number)),
        **vars(account.measure_attainment(results, number)),
        **vars(account.measure_quality(results, number)),
        **vars(account.measure_use(results, number)),
        **vars(_delivery_cost(done, number)),
    )


def _delivery_cost(done: Replayed, hour: int | None) -> DeliveryCost:
    """What inference costs in an hour or in the whole window, intervals pro rata, and what it delivers."""
    window = done.results.window
    start_us = window.from_us + (hour or 0) * US_PER_HOUR
    end_us = window.to_us if hour is None else min(start_us + US_PER_HOUR, window.to_us)
    cost_usd, tokens = _cost_usd(done.outcome, start_us, end_us), account.count_tokens(done.results, hour)
    return DeliveryCost(
        cost_usd=cost_usd,
        output_tokens=tokens,
        cost_usd_per_million_output_tokens=cost_usd / tokens * 1e6 if tokens else None,
    )


def _cost_usd(outcome: PlanOutcome, start_us: int, end_us: int) -> float:
    """Cost of inference in a period, UTC epoch microseconds; an interval that is partly in it counts pro rata."""
    grid = outcome.demand.grid
    inside = np.minimum(grid.starts_us + grid.interval_us, end_us) - np.maximum(grid.starts_us, start_us)
    part = np.maximum(inside, 0) / grid.interval_us
    return usd(round(float(np.array(outcome.costs.inference, np.float64) @ part)))
