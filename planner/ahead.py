"""The plan of a day to come, made from forecasts of its demand: history in days, quantiles, the plan."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl

from planner import pipeline
from planner.demand import Demand, Grid
from planner.errors import UsageError
from planner.forecast import forecaster, rolling_quantiles
from planner.forecast.base import Floats
from planner.forecast.history import Stretch, joined
from planner.forecast.methods import require_history
from planner.results import PlanOutcome
from planner.scenario.models import Scenario
from planner.store import Session, Store
from planner.trace import catalogue
from planner.trace.bins import binned
from planner.trace.catalogue import TraceInfo
from planner.units import S_PER_HOUR, to_us

_FALLBACK = "seasonal-naive"
"""The method with the least need of history: one season."""


@dataclass(frozen=True)
class Expected:
    """The demand that a day is planned for, a quantile of its forecast, and the forecast itself.

    demand, forecast: both on the grid of the day. notes: how they came about.
    """

    demand: Demand
    forecast: Demand
    notes: tuple[str, ...]


def day_us(day: date, scenario: Scenario) -> tuple[int, int]:
    """Start and end of a local day, UTC epoch microseconds; 23 or 25 hours where the clock changes."""
    begin, end = (datetime.combine(at, time(), scenario.zone) for at in (day, day + timedelta(days=1)))
    return to_us(begin), to_us(end)


def check_intervals(scenario: Scenario) -> None:
    """Raises UsageError where days do not begin on the marks of intervals."""
    if S_PER_HOUR % scenario.interval_s:
        raise UsageError(
            f"interval_s={scenario.interval_s}: days of 23 and 25 hours hold whole numbers of intervals only where an "
            "hour does; use for example interval_s=900"
        )


def day_demand(session: Session, name: str, day: date, scenario: Scenario) -> Demand:
    """The demand of a local day from its log's trace; what lies outside the day is left out. Raises TraceError."""
    start_us, end_us = day_us(day, scenario)
    whole = replace(catalogue.by_name(session, name), window_start_us=start_us, window_end_us=end_us)
    return binned(session, whole, scenario.interval_s, scenario.zone)


def history(session: Session, days: Mapping[date, str], last: date, scenario: Scenario) -> Demand:
    """The demand of the days up to `last` that follow each other without a gap. days: day -> trace, `last` among them.

    Raises TraceError.
    """
    stretches, day = [], last
    while day in days:
        stretches.append(Stretch(days[day], day_demand(session, days[day], day, scenario), *day_us(day, scenario)))
        day -= timedelta(days=1)
    return joined(stretches)


def expected_demand(past: Demand, day: date, scenario: Scenario) -> Expected:
    """What a day after the history is expected to ask for. Raises UsageError for too short a history."""
    start_us, end_us = day_us(day, scenario)
    step_us, interval_s = past.grid.interval_us, scenario.interval_s
    grid = Grid(start_us, interval_s, (end_us - start_us) // step_us)
    skipped = (start_us - past.grid.end_us) // step_us
    settings, share = scenario.forecast, scenario.policy.quantile
    maker = forecaster(settings.method, interval_s, settings.season)
    notes = []
    if past.grid.count < maker.needs:
        notes.append(f"{settings.method} needs a longer history than the {_days(past)}: {_FALLBACK} of a day instead")
        maker = forecaster(_FALLBACK, interval_s, "day")
    require_history(maker, past.grid, "the logs' history")
    horizon = skipped + grid.count
    ahead: dict[str, Floats] = {}
    quantile: dict[str, Floats] = {}
    for name in ("input_tokens", "output_tokens"):
        series = getattr(past, name).astype(np.float64)
        rows = maker.rolling(series, horizon)
        (spread,) = rolling_quantiles(series, rows, (share,), maker.settled)
        ahead[name], quantile[name] = rows[-1, skipped:], spread[-1, skipped:]
    unknown = np.isnan(quantile["input_tokens"] + quantile["output_tokens"])
    if unknown.any():
        notes.append(
            f"too little is known of past errors for the {share:.0%} quantile of {int(unknown.sum())} intervals: "
            "these are planned for the forecast itself"
        )
    requests = maker.rolling(past.requests.astype(np.float64), horizon)[-1, skipped:]
    hits = past.cached_input_tokens.sum() / max(past.input_tokens.sum(), 1)
    notes.insert(
        0,
        f"the demand is the {share:.0%} quantile of {maker.name} forecasts from the {_days(past)} up to the log's end",
    )
    return Expected(
        _demand(grid, requests, {name: np.where(unknown, ahead[name], quantile[name]) for name in ahead}, float(hits)),
        _demand(grid, requests, ahead, float(hits)),
        tuple(notes),
    )


def plan_ahead(store: Store, scenario: Scenario, trace: TraceInfo, expected: Expected) -> PlanOutcome:
    """The plan for an expected demand; nothing is stored. trace: of the newest log. Raises UsageError, RunError."""
    problems = pipeline.check(scenario)
    if problems:
        raise UsageError("; ".join(problems))
    with store.read() as session:
        sized = pipeline.sized(session, scenario, trace)
        limits = pipeline.slo_limits(session, sized, trace)
    return pipeline.compute_plan(sized, trace, expected.demand, expected.notes, limits=limits, expected=True)


def forecast_rows(expected: Expected) -> pl.DataFrame:
    """The rows of the table forecast_interval without run_id."""
    forecast = expected.forecast
    return pl.DataFrame(
        {
            "interval_start": pl.Series(forecast.grid.starts_us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "input_tokens": forecast.input_tokens,
            "output_tokens": forecast.output_tokens,
        }
    )


def _demand(grid: Grid, requests: Floats, tokens: Mapping[str, Floats], hits: float) -> Demand:
    counted = {name: np.rint(np.maximum(values, 0)).astype(np.int64) for name, values in tokens.items()}
    return Demand(
        grid,
        requests=np.rint(np.maximum(requests, 0)).astype(np.int64),
        cached_input_tokens=np.floor(counted["input_tokens"] * hits).astype(np.int64),
        **counted,
    )


def _days(past: Demand) -> str:
    hours = past.grid.length_s / S_PER_HOUR
    return f"{hours / 24:.4g} days"
