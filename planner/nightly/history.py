"""The history of a job's days by slot of the local clock: what forecasts are made from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from planner.core.demand import Grid
from planner.core.forecast.base import DAYS_PER_WEEK
from planner.core.forecast.history import COUNTED
from planner.nightly.local_days import day_demand, longest_silence
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.units import S_PER_DAY, Floats, Ints

_MOST_GAP_DAYS = 3
"""Most consecutive days without a log that are filled from other days; a longer gap ends the history. Assumed: a long
weekend."""


@dataclass(frozen=True, kw_only=True)
class DayHistory:
    """Days that follow each other, each as 24 hours of the local clock, so that noon is noon where the clock changed.

    requests and tokens: per slot of the local day, (days * slots,); a repeated hour is the mean of both, a skipped one
    repeats the one before. filled: days without a complete log, filled from another day.
    """

    last: date
    filled: tuple[date, ...]
    days: int
    slots: int
    requests: Floats
    input_tokens: Floats
    cached_input_tokens: Floats
    output_tokens: Floats


def read_history(
    session: Session, traces: Mapping[date, str], last: date, scenario: Scenario, longest_silence_s: int = S_PER_DAY
) -> DayHistory:
    """The days up to `last` that follow each other, with gaps of a few days filled. traces: by day, with `last`.

    A day without requests for longer than longest_silence_s is a gap too: what its log lacks is not zero demand.
    Raises TraceError.
    """
    slots = S_PER_DAY // scenario.interval_s
    counts: dict[date, Floats] = {}
    for day in _until_long_gap(traces, last):
        demand = day_demand(session, traces[day], day, scenario)
        if day == last or longest_silence(demand)[1] <= longest_silence_s:
            places = slots_of(demand.grid, scenario)
            counts[day] = np.stack([average_by_slot(getattr(demand, name), places, slots) for name in COUNTED])
    first = min(counts)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    filled = tuple(day for day in days if day not in counts)
    for day in filled:
        week_before = day - timedelta(days=DAYS_PER_WEEK)
        counts[day] = counts[week_before if week_before in counts else day - timedelta(days=1)]
    series = dict(zip(COUNTED, np.concatenate([counts[day] for day in days], axis=1), strict=True))
    return DayHistory(last=last, filled=filled, days=len(days), slots=slots, **series)


def slots_of(grid: Grid, scenario: Scenario) -> Ints:
    """The slot of the local day that every interval of a day falls in."""
    starts = grid.local_starts(scenario.zone)
    return np.array([(at.hour * 3600 + at.minute * 60) // grid.interval_s for at in starts], np.int64)


def average_by_slot(values: Ints, places: Ints, slots: int) -> Floats:
    """A day's values by slot: means of those that share one; where there is none, that of the slot before.

    places: the slot of each value.
    """
    counts = np.bincount(places, minlength=slots)
    means = np.bincount(places, values, slots) / np.maximum(counts, 1)
    source = np.maximum.accumulate(np.where(counts > 0, np.arange(slots), -1))
    # a day that begins without its first hour takes the first one that it has
    return means[np.where(source < 0, int(np.argmax(counts > 0)), source)]


def _until_long_gap(days: Collection[date], last: date) -> list[date]:
    """The days up to `last`, newest first, to the first gap that is too long to fill."""
    chosen = [last]
    for day in sorted((day for day in days if day < last), reverse=True):
        if (chosen[-1] - day).days > _MOST_GAP_DAYS + 1:
            break
        chosen.append(day)
    return chosen
