"""The interface of all forecasters, and what they share. Pure."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from planner.errors import UsageError
from planner.units import S_PER_DAY, Floats, Ints

DAYS_PER_WEEK = 7
MOST_OF_LARGEST = 2.0
"""Most that is forecast or planned for, in the largest demand of a slot so far: what has no daily profile may have a
profile, a level and errors that do not belong together. Assumed."""


class PastDemand(Protocol):
    """What is known of a demand, by the slots of a local clock, as forecasters take it."""

    def plain(self, column: str) -> Floats:
        """Demand per slot, (slots so far,); nan where nothing is known, or where it is no usual demand."""
        ...

    def planned(self, forecasts: Floats) -> Floats:
        """Rows of forecasts (slots so far + 1, horizon) of usual demand, changed as events will change it."""
        ...


class Forecaster(Protocol):
    """Forecasts non-negative demand again and again as it grows.

    name: as in scenarios. needs: slots of history before the first forecast. settled: slots of history from which on
    forecasts are made in their final way; earlier ones use less.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> int: ...

    @property
    def settled(self) -> int: ...

    def of(self, history: Any, column: str, horizon: int) -> Floats:
        """Forecasts of a column from every point of time, (n + 1, horizon) for a history of n slots.

        Row t is made from the slots before t only, for t to t + horizon - 1; nan where too little is known.
        """
        ...


class PlainForecaster(ABC):
    """Forecasters that look at nothing but a series."""

    def of(self, history: PastDemand, column: str, horizon: int) -> Floats:
        """As in Forecaster."""
        return history.planned(self.rolling(history.plain(column), horizon))

    @abstractmethod
    def rolling(self, series: Floats, horizon: int) -> Floats:
        """Forecasts from every point of time of a series (n,) in which nan is unknown: (n + 1, horizon)."""


@dataclass(frozen=True)
class Seasons:
    """Lengths of a day and a week in slots of a local clock."""

    day: int

    @property
    def week(self) -> int:
        return self.day * DAYS_PER_WEEK

    @classmethod
    def of(cls, interval_s: int) -> "Seasons":
        """Raises UsageError for intervals that do not divide a day."""
        if S_PER_DAY % interval_s:
            raise UsageError(
                f"a day is not a whole number of intervals of {interval_s // 60} min, so no interval has the same time "
                "a day later; use interval_s=900"
            )
        return cls(S_PER_DAY // interval_s)


def nothing_known(count: int, horizon: int) -> Floats:
    """Rows of forecasts for a series of `count` intervals, all unknown."""
    return np.full((count + 1, horizon), np.nan)


def same_slot(rows: Ints, horizon: int, season: int) -> Ints:
    """For every row and step the newest interval before the row at the same place of the season; (rows, horizon)."""
    step = np.arange(horizon)
    return rows[:, None] + step - season * (step // season + 1)
