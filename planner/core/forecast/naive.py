"""The season before, repeated."""

from dataclasses import dataclass

import numpy as np

from planner.core.forecast.base import PlainForecaster, nothing_known, same_slot
from planner.units import Floats


@dataclass(frozen=True)
class SeasonalNaive(PlainForecaster):
    """Every interval is forecast to be what it was one season ago, in the newest season that knows it.

    season: slots.
    """

    season: int
    name: str = "seasonal-naive"

    @property
    def needs(self) -> int:
        return self.season

    @property
    def settled(self) -> int:
        return self.needs

    def rolling(self, series: Floats, horizon: int) -> Floats:
        """As in PlainForecaster."""
        forecasts = nothing_known(len(series), horizon)
        rows = np.arange(self.needs, len(series) + 1)
        forecasts[rows] = _newest(series, self.season)[same_slot(rows, horizon, self.season)]
        return forecasts


def _newest(series: Floats, season: int) -> Floats:
    """The series, with what is unknown taken from the newest season before that knows it."""
    whole = -(-len(series) // season) * season
    seasons = np.concatenate([series, np.full(whole - len(series), np.nan)]).reshape(-1, season)
    source = np.where(np.isnan(seasons), -1, np.arange(len(seasons))[:, None])
    source = np.maximum.accumulate(source, axis=0)
    filled: Floats = seasons[source, np.arange(season)].ravel()[: len(series)]
    return filled
