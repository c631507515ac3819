"""How good forecasts would have been: rolling forecasts compared with actual demand. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.demand import Demand
from planner.core.forecast.choice import SERIES, ForecastRows, Leads, choose, daily_losses
from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.methods import forecaster, require_history
from planner.errors import UsageError
from planner.units import S_PER_DAY, Floats, Progress

MOST_FORECASTS = 10_000_000
"""Most forecasts of one method and series: some hundred megabytes, and about half a minute."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Errors of rolling forecasts over all scored pairs of a row and a step.

    mape: mean of |forecast - actual| / actual over pairs whose actual is above zero. wape: sum of |forecast - actual|
    over the sum of actuals, which nights near zero do not inflate. bias: sum of (forecast - actual) over the same.
    All None where there was no demand. wape_by_step: (horizon,), nan where no pair has the step. coverage: share of
    pairs with actual at most the quantile, by the quantile's share; None where no quantile is known.
    intervals: intervals that were forecast. left_out: those of them that no score counts, since they are unknown or
    declared unusual. pairs: of a row and a step.
    """

    mape: float | None
    wape: float | None
    bias: float | None
    wape_by_step: Floats
    coverage: Mapping[float, float | None]
    intervals: int
    left_out: int
    pairs: int


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """One method on one series (n,): its score, and its forecast of the time after the series.

    ahead: (horizon,) from the end of the series, with its quantiles by share. before: (n,) what was forecast of each
    interval as the last one of the horizon, nan where too little was known.
    """

    method: str
    series: str
    score: Score
    ahead: Floats
    quantiles: Mapping[float, Floats]
    before: Floats
    losses: Floats


@dataclass(frozen=True, kw_only=True)
class BackTest:
    """Forecasts of a demand by several methods, all scored from the row `first` on. horizon: in intervals.

    history: the demand with what its past tells.
    """

    history: DemandHistory
    season: str
    horizon: int
    first: int
    tested: tuple[SeriesResult, ...]

    @property
    def demand(self) -> Demand:
        """The demand that is forecast."""
        return self.history.demand

    def best(self, series: Sequence[str] = SERIES) -> str:
        """The method to use for some series: the first tested, unless another is better, see `choose`."""
        methods = list(dict.fromkeys(each.method for each in self.tested))
        losses = [sum(each.losses for each in self.of(method).values() if each.series in series) for method in methods]
        return methods[int(choose([np.asarray(loss) for loss in losses])[-1])]

    def of(self, method: str) -> dict[str, SeriesResult]:
        """The results of a method on each series."""
        return {each.series: each for each in self.tested if each.method == method}


def back_test(
    history: DemandHistory,
    methods: Sequence[str],
    *,
    season: str,
    horizon: int,
    shares: Sequence[float],
    share: float,
    name: str,
    progress: Progress | None = None,
) -> BackTest:
    """Forecast every interval of a demand from those before it, with every method, and compare.

    methods: the one to keep unless another is better comes first. horizon: in intervals. shares: of the quantiles.
    share: one of them, by whose loss the best method is told. name: of the demand in messages. Raises UsageError for a
    demand that is too short for a method, or too long to be forecast that far.
    """
    grid = history.demand.grid
    makers = [forecaster(method, grid.interval_s, season) for method in methods]
    for maker in makers:
        require_history(maker, grid, name, beyond=1)
    if (grid.count + 1) * horizon > MOST_FORECASTS:
        raise UsageError(
            f"{grid.count:,} intervals, each forecast {horizon:,} ahead, are more than {MOST_FORECASTS:,} "
            "forecasts; use a larger interval_s or a shorter --horizon"
        )
    first, per_day = max(maker.needs for maker in makers), S_PER_DAY // grid.interval_s
    tested = []
    for maker in makers:
        for column in SERIES:
            series = history.scored(column)
            forecasts = history.rows(maker, column, horizon)
            quantiles = dict(zip(shares, history.quantiles(maker, column, forecasts, shares, per_day), strict=True))
            rows = {column: ForecastRows(forecasts, quantiles[share])}
            tested.append(
                SeriesResult(
                    method=maker.name,
                    series=column,
                    score=score(series, forecasts, quantiles, first),
                    ahead=forecasts[-1],
                    quantiles={each: values[-1] for each, values in quantiles.items()},
                    before=_last_steps(forecasts),
                    losses=daily_losses(history, rows, Leads(0, horizon), share),
                )
            )
            if progress is not None:
                progress(len(tested), len(makers) * len(SERIES))
    return BackTest(history=history, season=season, horizon=horizon, first=first, tested=tuple(tested))


def score(series: Floats, forecasts: Floats, quantiles: Mapping[float, Floats], first: int) -> Score:
    """Score rolling forecasts (n + 1, horizon), known from the row `first` on, against their series (n,).

    quantiles: share -> quantiles like forecasts. Rows before `first` do not count, so that forecasters with other
    needs can be compared over the same intervals.
    """
    actual = actuals(series, forecasts.shape[1])[first:]
    scored = ~np.isnan(actual)
    error = np.where(scored, forecasts[first : len(series)] - actual, 0.0)
    size = np.where(scored, actual, 0.0)
    total = float(size.sum())
    above = size > 0
    sums = size.sum(axis=0)
    return Score(
        mape=float(np.mean(np.abs(error[above]) / size[above])) if above.any() else None,
        wape=float(np.abs(error).sum()) / total if total else None,
        bias=float(error.sum()) / total if total else None,
        wape_by_step=np.abs(error).sum(axis=0) / np.where(sums > 0, sums, np.nan),
        coverage={share: _coverage(actual, rows[first : len(series)]) for share, rows in quantiles.items()},
        intervals=len(actual),
        left_out=int(np.isnan(series[first:]).sum()),
        pairs=int(scored.sum()),
    )


def actuals(series: Floats, horizon: int) -> Floats:
    """Actual values of the intervals that rows of forecasts are for: (n, horizon), nan after the end of the series."""
    padded = np.concatenate([series, np.full(horizon, np.nan)])
    windows: Floats = np.lib.stride_tricks.sliding_window_view(padded, horizon)[: len(series)]
    return windows


def _coverage(actual: Floats, quantile: Floats) -> float | None:
    known = ~np.isnan(actual + quantile)
    return float(np.mean(actual[known] <= quantile[known])) if known.any() else None


def _last_steps(forecasts: Floats) -> Floats:
    """The forecast of each interval that was the last of its row; (n,)."""
    rows, horizon = forecasts.shape
    before = np.full(rows - 1, np.nan)
    last = forecasts[: max(0, rows - horizon), -1]
    before[horizon - 1 : horizon - 1 + len(last)] = last
    return before
