"""The season before, repeated."""

from dataclasses import dataclass

import numpy as np

from planner.core.forecast.base import nothing_known, same_slot
from planner.units import Floats


@dataclass(frozen=True)
class SeasonalNaive:
    """Every interval is forecast to be what it was one season ago (the newest season that is known).

    season: intervals.
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
        """As in Forecaster."""
        forecasts = nothing_known(len(series), horizon)
        rows = np.arange(self.needs, len(series) + 1)
        forecasts[rows] = series[same_slot(rows, horizon, self.season)]
        return forecasts
