"""The mean of the same time of the same weekday."""

from dataclasses import dataclass

import numpy as np

from planner.core.forecast.base import Seasons, nothing_known, same_slot
from planner.units import Floats


@dataclass(frozen=True)
class DayOfWeek:
    """Every interval is forecast to be the mean of the same interval of the week in all weeks that are known.

    While the series holds no interval of that time of the week, it is the mean of that time of day over all days.
    """

    seasons: Seasons
    name: str = "day-of-week"

    @property
    def needs(self) -> int:
        return self.seasons.day

    @property
    def settled(self) -> int:
        return self.seasons.week

    def rolling(self, series: Floats, horizon: int) -> Floats:
        """As in Forecaster."""
        forecasts = nothing_known(len(series), horizon)
        rows = np.arange(self.needs, len(series) + 1)
        weekly = same_slot(rows, horizon, self.seasons.week)
        daily = same_slot(rows, horizon, self.seasons.day)
        forecasts[rows] = np.where(
            weekly >= 0,
            _slot_means(series, self.seasons.week)[np.maximum(weekly, 0)],
            _slot_means(series, self.seasons.day)[daily],
        )
        return forecasts


def _slot_means(series: Floats, season: int) -> Floats:
    """Mean of every interval and those whole seasons before it; like series."""
    whole = -(-len(series) // season) * season
    padded = np.zeros(whole)
    padded[: len(series)] = series
    running = padded.reshape(-1, season).cumsum(axis=0)
    means: Floats = (running / np.arange(1, len(running) + 1)[:, None]).reshape(-1)[: len(series)]
    return means
