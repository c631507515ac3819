"""The plan of a day to come, made from forecasts of its demand: history in days, quantiles, the plan."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl

from planner.core.demand import Demand, Grid
from planner.core.forecast import forecaster, rolling_quantiles
from planner.core.forecast.base import DAYS_PER_WEEK
from planner.core.forecast.history import COUNTED
from planner.errors import UsageError
from planner.planning.plan import plan
from planner.planning.prepare import prepare_ahead
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.trace import stored as catalogue
from planner.trace.demand import binned
from planner.trace.stored import TraceInfo
from planner.units import S_PER_DAY, S_PER_HOUR, US_PER_S, Floats, Ints, to_us

_FALLBACK = "seasonal-naive"
"""The method with the least need of history: one season."""

_MOST_GAP_DAYS = 3
"""Days without a log that other days stand for; a longer gap cuts the history off. Assumed: a long weekend."""


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


def longest_silence(demand: Demand) -> tuple[int, int]:
    """Start (UTC epoch microseconds) and length (s) of the longest time in which nothing was asked for."""
    marks = np.flatnonzero(demand.requests + demand.input_tokens + demand.output_tokens)
    edges = np.concatenate([[-1], marks, [demand.grid.count]])
    gaps = np.diff(edges) - 1
    longest = int(gaps.argmax())
    start_us = demand.grid.start_us + (int(edges[longest]) + 1) * demand.grid.interval_us
    return start_us, int(gaps[longest]) * demand.grid.interval_s


def day_demand(session: Session, name: str, day: date, scenario: Scenario) -> Demand:
    """The demand of a local day from its log's trace; what lies outside the day is left out. Raises TraceError."""
    start_us, end_us = day_us(day, scenario)
    whole = replace(catalogue.by_name(session, name), window_start_us=start_us, window_end_us=end_us)
    return binned(session, whole, scenario.interval_s, scenario.zone)


@dataclass(frozen=True)
class Past:
    """Days that follow each other, each as 24 hours of the local clock, so that noon is noon where the clock changed.

    tokens, requests and hits: per slot of the local day, (days * slots,); an hour that came twice is their mean, one
    that was left out is as the one before. filled: days without a whole log, which another day stands for.
    """

    last: date
    filled: tuple[date, ...]
    days: int
    slots: int
    requests: Floats
    input_tokens: Floats
    cached_input_tokens: Floats
    output_tokens: Floats


def history(
    session: Session, days: Mapping[date, str], last: date, scenario: Scenario, longest_silence_s: int = S_PER_DAY
) -> Past:
    """The days up to `last` that follow each other, with gaps of a few days filled. days: day -> trace, with `last`.

    A day that was silent for longer than longest_silence_s is a gap too: what its log leaves out is no demand of zero.
    Raises TraceError.
    """
    slots = S_PER_DAY // scenario.interval_s
    known: dict[date, dict[str, Floats]] = {}
    day = last
    # newest first, until a gap is too long
    while any(day - timedelta(days=more) in days for more in range(_MOST_GAP_DAYS + 1)):
        if day in days:
            demand = day_demand(session, days[day], day, scenario)
            if day == last or longest_silence(demand)[1] <= longest_silence_s:
                places = _slots(demand.grid, scenario)
                known[day] = {name: _by_slot(getattr(demand, name), places, slots) for name in COUNTED}
        day -= timedelta(days=1)
    count = (last - min(known)).days + 1
    every = [min(known) + timedelta(days=number) for number in range(count)]
    filled = tuple(day for day in every if day not in known)
    for day in filled:
        # the same day a week before, or the day before
        known[day] = known.get(day - timedelta(days=DAYS_PER_WEEK)) or known[day - timedelta(days=1)]
    columns = {name: np.concatenate([known[day][name] for day in every]) for name in COUNTED}
    return Past(last, filled, count, slots, **columns)


def expected_demand(past: Past, day: date, scenario: Scenario) -> Expected:
    """What a day after the history is expected to ask for. Raises UsageError for intervals that do not divide a day."""
    start_us, end_us = day_us(day, scenario)
    interval_s, settings, share = scenario.interval_s, scenario.forecast, scenario.policy.quantile
    grid = Grid(start_us, interval_s, (end_us - start_us) // (interval_s * US_PER_S))
    maker, notes = forecaster(settings.method, interval_s, settings.season), []
    if past.days * past.slots < maker.needs:
        notes.append(f"{settings.method} needs more days of history than {past.days}: {_FALLBACK} of a day instead")
        maker = forecaster(_FALLBACK, interval_s, "day")
    before = ((day - past.last).days - 1) * past.slots
    horizon, places = before + past.slots, _slots(grid, scenario) + before
    ahead: dict[str, Floats] = {}
    quantile: dict[str, Floats] = {}
    for name in ("input_tokens", "output_tokens"):
        series = getattr(past, name)
        rows = maker.rolling(series, horizon)
        (spread,) = rolling_quantiles(series, rows, (share,), maker.settled)
        ahead[name], quantile[name] = rows[-1, places], spread[-1, places]
    unknown = np.isnan(quantile["input_tokens"] + quantile["output_tokens"])
    if unknown.any():
        notes.append(
            f"too little is known of past errors for the {share:.0%} quantile of {int(unknown.sum())} intervals: "
            "these are planned for the forecast itself"
        )
    requests = maker.rolling(past.requests, horizon)[-1, places]
    hits = float(past.cached_input_tokens.sum() / max(past.input_tokens.sum(), 1.0))
    made = f"the {share:.0%} quantile of {maker.name} forecasts"
    head = f"the demand is {made}; days of history: {past.days}, to {past.last}"
    if past.filled:
        missing = ", ".join(map(str, past.filled))
        notes.insert(0, f"no whole log of {missing}: the same day a week before stands for it, or the day before")
    return Expected(
        _demand(grid, requests, {name: np.where(unknown, ahead[name], quantile[name]) for name in ahead}, hits),
        _demand(grid, requests, ahead, hits),
        (head, *notes),
    )


def _slots(grid: Grid, scenario: Scenario) -> Ints:
    """The slot of the local day that every interval of a day falls in."""
    starts = grid.local_starts(scenario.zone)
    return np.array([(at.hour * 3600 + at.minute * 60) // grid.interval_s for at in starts], np.int64)


def _by_slot(values: Ints, places: Ints, slots: int) -> Floats:
    """A day's values by slot: means of those that share one; where there is none, that of the slot before."""
    counts = np.bincount(places, minlength=slots)
    means = np.bincount(places, values, slots) / np.maximum(counts, 1)
    there = np.maximum.accumulate(np.where(counts > 0, np.arange(slots), -1))
    # a day that begins without its first hour takes the first there is
    return means[np.where(there < 0, int(np.argmax(counts > 0)), there)]


def plan_ahead(store: Store, scenario: Scenario, trace: TraceInfo, expected: Expected) -> PlanOutcome:
    """The plan for an expected demand; nothing is stored. trace: of the newest log. Raises UsageError, RunError."""
    return plan(prepare_ahead(store, scenario, trace, expected.demand, expected.notes))


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
