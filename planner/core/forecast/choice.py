"""Rolling forecasts of a demand by a method, or by the one that was best so far at the leads that are used. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.methods import AUTO, CANDIDATES, forecaster, require_history
from planner.units import S_PER_DAY, Floats, Ints

SERIES = ("input_tokens", "output_tokens")
LEAST_DAYS = 7
"""Days that have to be scored before a method gives way to another: a week, as weekdays differ."""
_LEAST_GAIN = 0.05
"""By how much of its loss another method has to be better. Fitted: smaller differences come and go by chance."""


@dataclass(frozen=True)
class Leads:
    """The forecasts that a caller uses: of `count` intervals from `first` ahead on, made at every so many intervals.

    A policy uses all rows; a nightly job those of the end of a day.
    """

    first: int
    count: int
    every: int = 1

    @property
    def horizon(self) -> int:
        """Intervals that are forecast from each row."""
        return self.first + self.count


@dataclass(frozen=True)
class ForecastRows:
    """Forecasts of a column from every interval, (n + 1, horizon), and their quantile: the same if none is asked."""

    forecasts: Floats
    quantile: Floats

    @property
    def planned(self) -> Floats:
        """The quantile, or the forecast itself where too few errors are known for one."""
        planned: Floats = np.where(np.isnan(self.quantile), self.forecasts, self.quantile)
        return planned


@dataclass(frozen=True, kw_only=True)
class RollingForecasts:
    """Forecasts of a demand of n intervals, by column. methods: what made the rows of each day, and the last."""

    rows: Mapping[str, ForecastRows]
    methods: Sequence[str]


def rolling_forecasts(
    history: DemandHistory,
    method: str,
    leads: Leads,
    *,
    share: float | None = None,
    season: str = "day",
    columns: Sequence[str] = SERIES,
) -> RollingForecasts:
    """Forecast a demand from every interval. method: one of METHODS, or auto: see choose.

    share: of the quantile; None for forecasts alone. Raises UsageError as forecaster and require_history do.
    """
    days = -(-(history.demand.grid.count + 1) // _per_day(history))
    if method != AUTO:
        return RollingForecasts(rows=_made(history, method, leads, share, season, columns), methods=[method] * days)
    made = [_made(history, name, leads, share, season, columns) for name in CANDIDATES]
    losses = [daily_losses(history, rows, leads, 0.5 if share is None else share) for rows in made]
    chosen = choose(losses)[:days]
    day_of = np.arange(history.demand.grid.count + 1) // _per_day(history)
    rows = {
        column: ForecastRows(
            np.choose(chosen[day_of, None], [one[column].forecasts for one in made]),
            np.choose(chosen[day_of, None], [one[column].quantile for one in made]),
        )
        for column in columns
    }
    return RollingForecasts(rows=rows, methods=[CANDIDATES[int(index)] for index in chosen])


def choose(losses: Sequence[Floats]) -> Ints:
    """Which method to use on each day, and on the one after the last, by losses per day (days,), nan where unknown.

    The first one, until another has lost less by a twentieth over the days before that all were scored on, a week at
    least.
    """
    by_method = np.array(losses)
    counted = ~np.isnan(by_method).any(axis=0)
    sums = np.cumsum(np.where(counted, by_method, 0.0), axis=1)
    sums = np.concatenate([np.zeros((len(losses), 1)), sums], axis=1)
    scored = np.concatenate([[0], np.cumsum(counted)])
    best = np.argmin(sums, axis=0)
    gives_way = (sums.min(axis=0) < (1 - _LEAST_GAIN) * sums[0]) & (scored >= LEAST_DAYS)
    chosen: Ints = np.where(gives_way, best, 0)
    return chosen


def _made(
    history: DemandHistory, method: str, leads: Leads, share: float | None, season: str, columns: Sequence[str]
) -> dict[str, ForecastRows]:
    maker = forecaster(method, history.demand.grid.interval_s, season)
    require_history(maker, history.demand.grid, "the demand")
    made = {}
    for column in columns:
        forecasts = quantile = history.rows(maker, column, leads.horizon)
        if share is not None:
            (quantile,) = history.quantiles(maker, column, forecasts, (share,), leads.every)
        made[column] = ForecastRows(forecasts, quantile)
    return made


def daily_losses(history: DemandHistory, made: Mapping[str, ForecastRows], leads: Leads, share: float) -> Floats:
    """The mean pinball loss of rows, relative to the mean demand, by day of their targets; (days,), nan without any."""
    count, per_day = history.demand.grid.count, _per_day(history)
    origins = np.arange(0, count, leads.every)
    targets = origins[:, None] + np.arange(leads.first, leads.horizon)
    days = -(-count // per_day)
    sums, pairs = np.zeros(days), np.zeros(days)
    for column, rows in made.items():
        actual = np.concatenate([history.scored(column), [np.nan]])
        above = actual[np.minimum(targets, count)] - rows.planned[origins, leads.first :]
        known = ~np.isnan(above)
        mean = np.nanmean(actual) if known.any() else 0.0
        if mean:
            loss = np.maximum(share * above, (share - 1) * above)[known] / mean
            sums += np.bincount(targets[known] // per_day, loss, days)
            pairs += np.bincount(targets[known] // per_day, minlength=days)
    losses: Floats = np.divide(sums, pairs, out=np.full(days, np.nan), where=pairs > 0)
    return losses


def _per_day(history: DemandHistory) -> int:
    return S_PER_DAY // history.demand.grid.interval_s
