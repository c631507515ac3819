"""The usual demand of a slot of the week, times a level that follows evidence, with what the last hours missed."""

from dataclasses import dataclass

import numpy as np

from planner.core.forecast.base import DAYS_PER_WEEK, MOST_OF_LARGEST, Seasons, nothing_known
from planner.core.forecast.past import Mask, Past
from planner.core.forecast.tracking import MEMORY_DAYS, PLACES, Tracker
from planner.units import Floats

_HALF_LIFE_H = 1.0
"""Hours after which what a slot missed counts half. Fitted, as is the next."""
_KEPT_PER_H = 0.85
"""Share of what the last hours missed that is left an hour ahead."""
_MEMORY_H, _FOLLOWED_H = 6, 1
_DAY_H = 24


@dataclass(frozen=True)
class ProfileLevel:
    """Every interval is forecast to be the usual demand of its slot of the week at the level of now.

    Both are as `tracking` finds them, without incidents. What the last hours missed is carried on and fades; a fall
    that looks like an incident is carried on for an hour only.
    """

    seasons: Seasons
    name: str = "profile-level"

    @property
    def needs(self) -> int:
        return self.seasons.day

    @property
    def settled(self) -> int:
        return self.seasons.week

    def of(self, history: Tracker, column: str, horizon: int) -> Floats:
        """As in Forecaster."""
        past, tracker = history.past, history
        forecasts = nothing_known(past.count, horizon)
        ahead_h = np.arange(1, horizon + 1) * _DAY_H / past.slots
        for day in range(1, past.count // past.slots + 1):
            first = day * past.slots
            rows = np.arange(first, min(first + past.slots, past.count + 1))
            usual = _usual(past, tracker, day, column, past.slots + horizon)
            rise = _rises(past, tracker, day, column)
            missed, held = (values - rise for values in _missed(past, tracker, day, column))
            left = np.where(ahead_h <= _FOLLOWED_H, missed[:, None], held[:, None]) * _KEPT_PER_H**ahead_h
            made = np.lib.stride_tricks.sliding_window_view(usual, horizon)[: past.slots] * np.exp(rise[:, None] + left)
            most = MOST_OF_LARGEST * _largest(past, day, column)[:, None]
            forecasts[rows] = np.minimum(made, most)[: len(rows)]
        return history.planned(forecasts)


def _usual(past: Past, tracker: Tracker, day: int, column: str, count: int) -> Floats:
    """The usual demand of so many slots from a day on, at its level; (count,)."""
    known, series = tracker.known[day], PLACES[column]
    weekdays = (past.weekday + day + np.arange(-(-count // past.slots))) % DAYS_PER_WEEK
    usual: Floats = known.profiles[series, weekdays].ravel()[:count] * np.exp(known.levels[series])
    return usual


def _largest(past: Past, day: int, column: str) -> Floats:
    """The largest demand of a slot in the last weeks before every slot of a day, without factors; (slots,)."""
    first, start = max(0, day - MEMORY_DAYS) * past.slots, day * past.slots
    values = past.columns[column][: past.count]
    factors = past.factors[: past.count]
    values = values / np.where(factors > 0, factors, 1.0)
    today = values[start : start + past.slots]
    today = np.concatenate([today, np.full(past.slots - len(today), np.nan)])
    before = float(np.nanmax(np.append(values[first:start], 0.0)))
    return np.fmax.accumulate(np.concatenate([[before], today[:-1]]))


def _rises(past: Past, tracker: Tracker, day: int, column: str) -> Floats:
    """By how much the level has risen before every slot of a day; (slots,)."""
    rise = np.zeros(past.slots)
    for slot, sizes in tracker.rises[day].items():
        rise[slot] = sizes[PLACES[column]]
    return rise


def _missed(past: Past, tracker: Tracker, day: int, column: str) -> tuple[Floats, Floats]:
    """What the hours before every slot of a day missed, (slots,), and the same without what may be an outage.

    Means of logarithms, weighted by age. An outage that is over counts in neither.
    """
    memory = max(1, round(_MEMORY_H * past.slots / _DAY_H))
    days = [one for one in (day - 1, day) if one < past.days]
    levels, series = tracker.known[day].levels, PLACES[column]
    sizes = np.concatenate([tracker.sizes_of(one, levels)[series] for one in days])
    low = np.concatenate([tracker.suspects(one) < 0 for one in days])
    sizes = np.concatenate([np.full(memory, np.nan), sizes, np.full(2 * past.slots - len(sizes), np.nan)])
    low = np.concatenate([np.zeros(memory, np.bool_), low, np.zeros(len(sizes) - memory - len(low), np.bool_)])
    weights = 0.5 ** (np.arange(memory, 0, -1) * _DAY_H / past.slots / _HALF_LIFE_H)

    def mean(counted: Mask) -> Floats:
        parts = np.lib.stride_tricks.sliding_window_view
        weight = parts(counted.astype(np.float64), memory) @ weights
        sums = parts(np.where(counted, sizes, 0.0), memory) @ weights
        means = np.divide(sums, weight, out=np.zeros(len(sums)), where=weight > 0)
        return means[past.slots : 2 * past.slots]

    known = np.isfinite(sizes)
    held = mean(known & ~low)
    ongoing = low[memory + past.slots - 1 :][: past.slots]
    return np.where(ongoing, mean(known), held), held
