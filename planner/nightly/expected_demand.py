"""The expected demand of a coming day: forecasts and their quantiles, from the history of days."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from planner.core.demand import Demand, Grid
from planner.core.forecast import forecaster
from planner.core.forecast.choice import SERIES, Leads, RollingForecasts, rolling_forecasts
from planner.nightly.history import DayHistory
from planner.nightly.local_days import day_us
from planner.planning.declared import demand_history
from planner.planning.told import tell
from planner.settings.scenario import Scenario
from planner.units import S_PER_DAY, Floats, Ints

_FALLBACK = "profile-level"
"""The method that needs the least history, a day, and that forecasts slots which no day knows."""
_COLUMNS = ("requests", *SERIES)
_Newest = tuple[Floats, Floats]
"""A forecast, and its quantile, of every interval of the day."""


@dataclass(frozen=True)
class ExpectedDemand:
    """The demand that a day is planned for, a quantile of its forecast, and the forecast itself.

    demand, forecast: both on the grid of the day. notes: how they were made.
    """

    demand: Demand
    forecast: Demand
    notes: tuple[str, ...]


def expect_demand(history: DayHistory, day: date, scenario: Scenario) -> ExpectedDemand:
    """The expected demand of a day after the history. Raises UsageError for intervals that do not divide a day."""
    past, interval_us = history.demand.grid, history.demand.grid.interval_us
    start_us, end_us = day_us(day, scenario)
    grid = Grid(start_us, scenario.interval_s, (end_us - start_us) // interval_us)
    leads = Leads(
        first=(start_us - past.end_us) // interval_us, count=grid.count, every=S_PER_DAY // scenario.interval_s
    )
    known = demand_history(scenario, history.demand, leads.horizon, unknown=history.unknown)
    method, season, method_notes = _choose_method(history, scenario)
    share = scenario.policy.quantile
    made = rolling_forecasts(known, method, leads, share=share, season=season, columns=_COLUMNS)
    if made.methods[-1] != _FALLBACK and np.isnan([_newest(made, name, leads)[0] for name in _COLUMNS]).any():
        spare = rolling_forecasts(known, _FALLBACK, leads, share=share, columns=_COLUMNS)
        newest, filled = _filled(made, spare, leads)
        method_notes.append(f"{filled} intervals of which {made.methods[-1]} knows nothing are forecast by {_FALLBACK}")
    else:
        newest = {name: _newest(made, name, leads) for name in _COLUMNS}
    hits = float(history.demand.cached_input_tokens.sum() / max(history.demand.input_tokens.sum(), 1))
    unknown = np.isnan([newest[name][1] for name in SERIES]).any(axis=0)
    planned = [np.where(unknown, *newest[name]) for name in SERIES]
    notes = [
        f"the demand is the {share:.0%} quantile of {made.methods[-1]} forecasts; days of history: {history.days}, to "
        f"{history.last}",
        *_history_notes(history),
        *method_notes,
        *tell(known, scenario, grid).notes,
        *_quantile_notes(int(unknown.sum()), share),
    ]
    requests = newest["requests"][0]
    return ExpectedDemand(
        _demand(grid, requests, planned, hits),
        _demand(grid, requests, [newest[name][0] for name in SERIES], hits),
        tuple(notes),
    )


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


def _filled(made: RollingForecasts, spare: RollingForecasts, leads: Leads) -> tuple[dict[str, _Newest], int]:
    """The newest forecasts, with those of another method where there are none, and how many intervals have none."""
    own, other = ({name: _newest(each, name, leads) for name in _COLUMNS} for each in (made, spare))
    missing = np.isnan([middle for middle, _ in own.values()]).any(axis=0)
    joined = {
        name: (np.where(missing, other[name][0], own[name][0]), np.where(missing, other[name][1], own[name][1]))
        for name in _COLUMNS
    }
    return joined, int(missing.sum())


def _newest(made: RollingForecasts, column: str, leads: Leads) -> _Newest:
    """The newest forecast of a column, and its quantile; (intervals of the day,) each."""
    rows = made.rows[column]
    return rows.forecasts[-1, leads.first :], rows.quantile[-1, leads.first :]


def _choose_method(history: DayHistory, scenario: Scenario) -> tuple[str, str, list[str]]:
    """The scenario's method and season, or a method that needs less history; and a note on that."""
    settings = scenario.forecast
    maker = forecaster(settings.method, scenario.interval_s, settings.season)
    if history.demand.grid.count >= maker.needs:
        return settings.method, settings.season, []
    note = f"{settings.method} needs more than {history.days} days of history: {_FALLBACK} is used instead"
    return _FALLBACK, settings.season, [note]


def _history_notes(history: DayHistory) -> list[str]:
    notes = []
    if history.missing:
        notes.append(f"no log of {', '.join(map(str, history.missing))}: nothing is learned of these days")
    if history.silent:
        notes.append(
            f"long silences in the logs of {', '.join(map(str, history.silent))} are taken to be missing, not zero: "
            "forecast.accept takes a date as real"
        )
    return notes


def _quantile_notes(unknown: int, share: float) -> list[str]:
    if not unknown:
        return []
    return [
        f"there are too few past errors to estimate the {share:.0%} quantile of {unknown} intervals: these are planned "
        "for the forecast itself"
    ]


def _demand(grid: Grid, requests: Floats, tokens: list[Floats], hits: float) -> Demand:
    """Whole requests and tokens, none negative. tokens: of SERIES. hits: share of input tokens found in the cache."""
    input_tokens, output_tokens = (_counts(each) for each in tokens)
    return Demand(
        grid=grid,
        requests=_counts(requests),
        input_tokens=input_tokens,
        cached_input_tokens=np.floor(input_tokens * hits).astype(np.int64),
        output_tokens=output_tokens,
    )


def _counts(values: Floats) -> Ints:
    return np.rint(np.maximum(values, 0)).astype(np.int64)
