"""The document of a replay, from its account and the costs of its plan."""

import numpy as np

from planner.runs.outcome import PlanOutcome
from planner.studies.replay import account
from planner.studies.replay.document import (
    Arrivals,
    Balancers,
    DeliveryCost,
    LoadImbalance,
    ReplayDocument,
    ReplayHour,
    UnitUse,
)
from planner.studies.replay.run import Replayed
from planner.units import US_PER_HOUR, from_us, usd


def summarise(
    done: Replayed, run_id: str, *, arrivals: Arrivals, use: UnitUse, imbalance: LoadImbalance
) -> ReplayDocument:
    """The document of a replay that is stored as a run. arrivals, use, imbalance: of the whole window."""
    results, scenario, window = done.results, done.outcome.scenario, done.results.window
    settings, slo = scenario.replay, account.measure_attainment(results, None)
    return ReplayDocument(
        run_id=run_id,
        scenario=scenario.name,
        trace=done.trace.name,
        policy=done.outcome.policy,
        capacity=scenario.fleet.capacity,
        window_start=from_us(window.from_us, scenario.zone),
        window_end=from_us(window.to_us, scenario.zone),
        ranks=settings.ranks,
        balancers=Balancers(prefill=settings.prefill_balancer, decode=settings.decode_balancer),
        queue_mode=settings.queue_mode,
        hits=settings.hits,
        notes=done.notes,
        requests=arrivals.arrived,
        completed=arrivals.completed,
        in_flight=arrivals.in_flight,
        rejected=arrivals.rejected,
        retried=arrivals.retried,
        moved=results.decode.moved,
        failures=account.count_failures(results),
        simulated_requests=done.simulated,
        wall_s=done.wall_s,
        requests_per_s=account.ratio(done.simulated, done.wall_s),
        **vars(account.measure_quality(results, None)),
        **vars(use),
        **vars(_delivery_cost(done, None)),
        slo=slo,
        kv_peak_ratio=account.kv_peak_ratio(results),
        imbalance=imbalance,
        drain_s=account.drain_times_s(results, "decode"),
        prefill_drain_s=account.drain_times_s(results, "prefill"),
        missed_limits=account.missed_limits(scenario.slo, slo.both_attainment),
        classes=account.summarise_classes(results, done.classes),
        hours=tuple(_hour(done, number) for number in range(results.span.hours)),
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
