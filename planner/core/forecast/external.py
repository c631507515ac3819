"""Forecasters of the library statsforecast, for those who installed the extra `forecast`."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from planner.core.forecast.base import PlainForecaster, Seasons, nothing_known
from planner.errors import UsageError
from planner.units import Floats

REFITS_PER_DAY = 4
"""A fit takes a tenth of a second to a second, so not every row has its own. Assumed: every six hours, as often as
AWS predictive scaling refreshes its forecasts."""


@dataclass(frozen=True)
class StatsforecastMstl(PlainForecaster):
    """Trend and seasons split by LOESS (MSTL), the trend forecast by the best exponential smoothing (AutoETS).

    Fitted four times a day; rows in between take the later steps of the newest fit. weekly: with a week's season
    beside the day's, once the series holds two weeks. Forecasts below zero are raised to it.
    """

    seasons: Seasons
    weekly: bool
    name: str = "statsforecast-mstl"

    @property
    def needs(self) -> int:
        return 2 * self.seasons.day

    @property
    def settled(self) -> int:
        return 2 * self.seasons.week if self.weekly else self.needs

    def rolling(self, series: Floats, horizon: int) -> Floats:
        """As in PlainForecaster. Raises UsageError where statsforecast is not installed."""
        models = statsforecast_models()
        forecasts = nothing_known(len(series), horizon)
        between = max(1, self.seasons.day // REFITS_PER_DAY)
        for origin in range(self.needs, len(series) + 1, between):
            known = _without_gaps(series[:origin])
            lengths = [self.seasons.day]
            if self.weekly and origin >= self.settled:
                lengths.append(self.seasons.week)
            model = models.MSTL(season_length=lengths, trend_forecaster=models.AutoETS(model="ZZN"))
            ahead = np.maximum(model.forecast(y=known, h=horizon + between - 1)["mean"], 0.0)
            for later in range(min(between, len(series) + 1 - origin)):
                forecasts[origin + later] = ahead[later : later + horizon]
        return forecasts


def _without_gaps(series: Floats) -> Floats:
    """What is unknown lies between what is known beside it: the library takes no gaps."""
    known = np.flatnonzero(~np.isnan(series))
    return np.interp(np.arange(len(series)), known, series[known]) if len(known) else np.zeros(len(series))


def statsforecast_models() -> Any:
    """The library's models. Raises UsageError with the cure where it is not installed."""
    try:
        return import_module("statsforecast.models")
    except ImportError as error:
        raise UsageError(
            "statsforecast is not installed; pip install 'inference-planner[forecast]', or use another method"
        ) from error
