"""The mean of the same time of the same weekday."""

from dataclasses import dataclass

import numpy as np

from planner.core.forecast.base import PlainForecaster, Seasons, nothing_known, same_slot
from planner.units import Floats


@dataclass(frozen=True)
class DayOfWeek(PlainForecaster):
    """Every interval is forecast to be the mean of the same interval of the week in all weeks that know it.

    While none knows that time of the week, it is the mean of that time of day over all days.
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
        """As in PlainForecaster."""
        forecasts = nothing_known(len(series), horizon)
        rows = np.arange(self.needs, len(series) + 1)
        weekly = same_slot(rows, horizon, self.seasons.week)
        daily = same_slot(rows, horizon, self.seasons.day)
        by_week = np.where(weekly >= 0, _slot_means(series, self.seasons.week)[np.maximum(weekly, 0)], np.nan)
        forecasts[rows] = np.where(np.isnan(by_week), _slot_means(series, self.seasons.day)[daily], by_week)
        return forecasts


def _slot_means(series: Floats, season: int) -> Floats:
    """Mean of every interval and those whole seasons before it that are known; like series."""
    whole = -(-len(series) // season) * season
    padded = np.concatenate([series, np.full(whole - len(series), np.nan)]).reshape(-1, season)
    known = ~np.isnan(padded)
    counts, sums = known.cumsum(axis=0), np.where(known, padded, 0.0).cumsum(axis=0)
    means: Floats = np.divide(sums, counts, out=np.full(padded.shape, np.nan), where=counts > 0)
    return means.reshape(-1)[: len(series)]
