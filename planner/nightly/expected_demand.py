"""The expected demand of a coming day: forecasts and their quantiles, from the history of days."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from planner.core.demand import Demand, Grid
from planner.core.forecast import Forecaster, forecaster, rolling_quantiles
from planner.nightly.history import DayHistory, slots_of
from planner.nightly.local_days import day_us
from planner.settings.scenario import Scenario
from planner.units import US_PER_S, Floats, Ints

_FALLBACK = "seasonal-naive"
"""The method that needs the least history: one season."""


@dataclass(frozen=True)
class ExpectedDemand:
    """The demand that a day is planned for, a quantile of its forecast, and the forecast itself.

    demand, forecast: both on the grid of the day. notes: how they were made.
    """

    demand: Demand
    forecast: Demand
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Tokens:
    """Input and output tokens per interval of a day."""

    input: Floats
    output: Floats


def expect_demand(history: DayHistory, day: date, scenario: Scenario) -> ExpectedDemand:
    """The expected demand of a day after the history. Raises UsageError for intervals that do not divide a day."""
    start_us, end_us = day_us(day, scenario)
    grid = Grid(start_us, scenario.interval_s, (end_us - start_us) // (scenario.interval_s * US_PER_S))
    share = scenario.policy.quantile
    method, fallback_notes = _choose_method(history, scenario)
    before = ((day - history.last).days - 1) * history.slots
    horizon, places = before + history.slots, slots_of(grid, scenario) + before

    def forecast_tokens(series: Floats) -> tuple[Floats, Floats]:
        rows = method.rolling(series, horizon)
        (spread,) = rolling_quantiles(series, rows, (share,), method.settled)
        return rows[-1, places], spread[-1, places]

    forecast_input, quantile_input = forecast_tokens(history.input_tokens)
    forecast_output, quantile_output = forecast_tokens(history.output_tokens)
    forecast = _Tokens(forecast_input, forecast_output)
    unknown = np.isnan(quantile_input + quantile_output)
    planned = _Tokens(
        np.where(unknown, forecast_input, quantile_input), np.where(unknown, forecast_output, quantile_output)
    )
    requests = method.rolling(history.requests, horizon)[-1, places]
    hits = float(history.cached_input_tokens.sum() / max(history.input_tokens.sum(), 1.0))
    notes = [
        f"the demand is the {share:.0%} quantile of {method.name} forecasts; days of history: {history.days}, to "
        f"{history.last}",
        *_history_notes(history),
        *fallback_notes,
        *_quantile_notes(int(unknown.sum()), share),
    ]
    return ExpectedDemand(_demand(grid, requests, planned, hits), _demand(grid, requests, forecast, hits), tuple(notes))


def forecast_rows(expected: ExpectedDemand) -> pl.DataFrame:
    """The rows of the table forecast_interval without run_id."""
    forecast = expected.forecast
    return pl.DataFrame(
        {
            "interval_start": pl.Series(forecast.grid.starts_us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "input_tokens": forecast.input_tokens,
            "output_tokens": forecast.output_tokens,
        }
    )


def _choose_method(history: DayHistory, scenario: Scenario) -> tuple[Forecaster, list[str]]:
    """The scenario's method, or one that needs less history; and a note on that."""
    settings = scenario.forecast
    method = forecaster(settings.method, scenario.interval_s, settings.season)
    if history.days * history.slots >= method.needs:
        return method, []
    note = (
        f"{settings.method} needs more than {history.days} days of history: {_FALLBACK} with a season of one day is "
        "used instead"
    )
    return forecaster(_FALLBACK, scenario.interval_s, "day"), [note]


def _history_notes(history: DayHistory) -> list[str]:
    if not history.filled:
        return []
    days = ", ".join(map(str, history.filled))
    return [f"no complete log of {days}: the same day a week before is used instead, or the day before"]


def _quantile_notes(unknown: int, share: float) -> list[str]:
    if not unknown:
        return []
    return [
        f"there are too few past errors to estimate the {share:.0%} quantile of {unknown} intervals: these are planned "
        "for the forecast itself"
    ]


def _demand(grid: Grid, requests: Floats, tokens: _Tokens, hits: float) -> Demand:
    """Whole requests and tokens, none negative. hits: share of input tokens found in the cache."""
    input_tokens = _counts(tokens.input)
    return Demand(
        grid=grid,
        requests=_counts(requests),
        input_tokens=input_tokens,
        cached_input_tokens=np.floor(input_tokens * hits).astype(np.int64),
        output_tokens=_counts(tokens.output),
    )


def _counts(values: Floats) -> Ints:
    return np.rint(np.maximum(values, 0)).astype(np.int64)
