"""The document of a back-test and its forecast."""

from zoneinfo import ZoneInfo

import numpy as np

from planner.core.forecast import quantile_name
from planner.core.forecast.backtest import BackTest, Score, SeriesResult
from planner.core.forecast.choice import SERIES
from planner.planning.told import DemandFinding
from planner.studies.forecast.document import (
    BestMethods,
    ForecastAhead,
    ForecastDocument,
    ForecastFlag,
    ForecastHistory,
    IntervalForecast,
    LeadError,
    MethodScore,
)
from planner.studies.forecast.run import Forecasts
from planner.units import S_PER_HOUR, from_us

_LEADS_H = (1, 3, 6, 12, 24, 48, 168)
"""Hours ahead at which errors are given, besides the next interval and the last."""


def summarise(forecasts: Forecasts) -> ForecastDocument:
    """The document of a back-test and its forecast."""
    test, zone = forecasts.test, forecasts.scenario.zone
    grid, best = test.demand.grid, test.best()
    return ForecastDocument(
        scenario=forecasts.scenario.name,
        trace=forecasts.trace,
        traces=forecasts.traces,
        interval_s=grid.interval_s,
        season=test.season,
        horizon=test.horizon,
        horizon_s=test.horizon * grid.interval_s,
        history=ForecastHistory(
            start=from_us(grid.start_us, zone), end=from_us(grid.end_us, zone), intervals=grid.count
        ),
        scored_from=from_us(grid.start_us + test.first * grid.interval_us, zone),
        methods=tuple(_score(each, grid.interval_s) for each in test.tested),
        best=BestMethods(method=best, **{name: test.best([name]) for name in SERIES}),
        forecast=ForecastAhead(method=best, intervals=_intervals(test, zone)),
        flags=tuple(_flag(one, zone) for one in forecasts.findings),
        notes=forecasts.notes,
    )


def _flag(one: DemandFinding, zone: ZoneInfo) -> ForecastFlag:
    return ForecastFlag(
        kind=one.kind,
        start=from_us(one.start_us, zone),
        end=from_us(one.end_us, zone),
        ratio=one.ratio,
        name=one.name or None,
        factor=one.factor,
        planned=one.planned,
    )


def _score(each: SeriesResult, interval_s: int) -> MethodScore:
    score = each.score
    return MethodScore(
        method=each.method,
        series=each.series,
        mape=score.mape,
        wape=score.wape,
        bias=score.bias,
        coverage={quantile_name(share): value for share, value in score.coverage.items()},
        intervals=score.intervals,
        left_out=score.left_out,
        pairs=score.pairs,
        wape_by_lead=_by_lead(score, interval_s),
    )


def _by_lead(score: Score, interval_s: int) -> tuple[LeadError, ...]:
    """wape of the next interval, of some hours ahead, and of the last; a lead is the time to the interval's end."""
    horizon = len(score.wape_by_step)
    steps = {0, horizon - 1} | {hours * S_PER_HOUR // interval_s - 1 for hours in _LEADS_H}
    return tuple(
        LeadError(lead_s=(step + 1) * interval_s, wape=_plain(score.wape_by_step[step]))
        for step in sorted(steps)
        if 0 <= step < horizon
    )


def _intervals(test: BackTest, zone: ZoneInfo) -> tuple[IntervalForecast, ...]:
    """The best method's forecast of every interval after the history."""
    grid, best = test.demand.grid, test.of(test.best())
    return tuple(
        IntervalForecast(
            start=from_us(grid.end_us + step * grid.interval_us, zone),
            input_tokens=_expected(best["input_tokens"], step),
            output_tokens=_expected(best["output_tokens"], step),
        )
        for step in range(test.horizon)
    )


def _expected(each: SeriesResult, step: int) -> dict[str, float | None]:
    """Tokens of one interval: the forecast, and its quantiles by their names."""
    quantiles = {quantile_name(share): _plain(values[step]) for share, values in each.quantiles.items()}
    return {"forecast": _plain(each.ahead[step]), **quantiles}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
