"""Demand by the slots of a local clock: what forecasts are made from. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from planner.core.demand import Demand, Grid
from planner.core.forecast.base import Seasons
from planner.units import S_PER_HOUR, US_PER_S, Floats, Ints, from_us

COLUMNS = ("requests", "input_tokens", "output_tokens")
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DeclaredSpan:
    """A stretch of time, UTC epoch microseconds."""

    start_us: int
    end_us: int


@dataclass(frozen=True, kw_only=True)
class Event(DeclaredSpan):
    """Time whose demand is the usual one times a factor, and is not learned from."""

    factor: float


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What is known of a demand beside its numbers.

    incidents: time that tells nothing, as if there were no log. events: see Event. accepted: time whose demand is real,
    however unusual it is.
    """

    incidents: Sequence[DeclaredSpan] = ()
    events: Sequence[Event] = ()
    accepted: Sequence[DeclaredSpan] = ()


NOTHING_DECLARED = Declared()
_CLOCK_H = 3
"""Hours after the last forecast that may be of an earlier clock time: no clock is put back further."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """Demand folded by a local clock: days of 24 hours, so that noon is noon where the clock was changed.

    Days begin at the clock time of the first interval. grid: the intervals. slots: of a day. weekday: of the first day,
    0 for Monday. place: the slot of every interval and of those after them, counted from the first; an hour that the
    clock shows twice has its slots twice. columns: demand per slot, whole days, nan where nothing is known: the mean of
    both intervals of a slot. factors: of events, per slot, also after the demand. unlearned, accepted: slots declared
    so.
    """

    grid: Grid
    slots: int
    weekday: int
    place: Ints
    columns: Mapping[str, Floats]
    factors: Floats
    unlearned: Mask
    accepted: Mask

    @property
    def days(self) -> int:
        """Days, of which the last may be incomplete."""
        return len(self.unlearned) // self.slots

    @property
    def count(self) -> int:
        """Slots up to the end of the demand."""
        return int(self.place[: self.grid.count].max()) + 1

    @classmethod
    def of(
        cls,
        demand: Demand,
        zone: tzinfo,
        horizon: int,
        *,
        declared: Declared = NOTHING_DECLARED,
        unknown: Mask | None = None,
    ) -> "Past":
        """Fold a demand. horizon: intervals after it that will be forecast. unknown: intervals without a log.

        Raises UsageError for intervals that do not divide a day.
        """
        grid, slots = demand.grid, Seasons.of(demand.grid.interval_s).day
        longer = replace(grid, count=grid.count + horizon + _CLOCK_H * S_PER_HOUR // grid.interval_s)
        first = from_us(grid.start_us, zone)
        place = _places(longer, zone)
        count = place[: grid.count].max() + 1
        whole = -(-count // slots) * slots
        known = np.ones(grid.count, np.bool_) if unknown is None else ~unknown
        inside = place[: grid.count][known]
        times = np.bincount(inside, minlength=whole)

        def folded(values: Ints) -> Floats:
            sums = np.bincount(inside, values[known], whole)
            return np.where(times > 0, sums / np.maximum(times, 1), np.nan)

        factors, unlearned = np.ones(max(place.max() + 1, whole)), np.zeros(whole, np.bool_)
        for event in declared.events:
            factors[place[mostly_marked(longer, event)]] = event.factor
            unlearned[place[: grid.count][marked(grid, event)]] = True
        for span in declared.incidents:
            unlearned[place[: grid.count][marked(grid, span)]] = True
        accepted = np.zeros(whole, np.bool_)
        for span in declared.accepted:
            accepted[place[: grid.count][marked(grid, span)]] = True
        return cls(
            grid=grid,
            slots=slots,
            weekday=first.weekday(),
            place=place,
            columns={name: folded(getattr(demand, name)) for name in COLUMNS},
            factors=factors,
            unlearned=unlearned,
            accepted=accepted & ~unlearned,
        )

    def unfolded(self, forecasts: Floats, horizon: int) -> Floats:
        """Forecasts of slots, from every slot, as forecasts of intervals from every interval: (intervals + 1, horizon).

        forecasts: (slots + 1, reach). Rows within an hour that the clock shows twice begin at its first slot.
        """
        count, rows = self.grid.count, self._rows
        targets = np.lib.stride_tricks.sliding_window_view(self.place, horizon)[: count + 1]
        if (targets[:, 0] == rows).all() and (np.diff(self.place[: count + horizon]) == 1).all():
            return forecasts[:, :horizon]
        unfolded: Floats = forecasts[rows[:, None], targets - rows[:, None]]
        return unfolded

    def reach(self, horizon: int) -> int:
        """Slots ahead that forecasts of so many intervals may need."""
        targets = np.lib.stride_tricks.sliding_window_view(self.place, horizon)[: self.grid.count + 1]
        return int((targets - self._rows[:, None]).max()) + 1

    @property
    def _rows(self) -> Ints:
        """The slot from which every interval is forecast, and the one after them; (intervals + 1,)."""
        rows = np.minimum.accumulate(self.place[::-1])[::-1][: self.grid.count + 1]
        # the clock may be put forward right after the demand
        return np.minimum(rows, self.count)


def _places(grid: Grid, zone: tzinfo) -> Ints:
    """The slot of every interval by the local clock, counted from that of the first."""
    offsets = np.array([_offset_us(at) for at in grid.local_starts(zone)], np.int64)
    local = grid.starts_us + offsets
    places: Ints = np.maximum((local - local[0]) // grid.interval_us, 0)
    return places


def _offset_us(at: datetime) -> int:
    return int((at.utcoffset() or timedelta()) / timedelta(seconds=1)) * US_PER_S


def marked(grid: Grid, span: DeclaredSpan) -> Mask:
    """Intervals of which any part lies within a span."""
    starts = grid.starts_us
    inside: Mask = (starts + grid.interval_us > span.start_us) & (starts < span.end_us)
    return inside


def mostly_marked(grid: Grid, span: DeclaredSpan) -> Mask:
    """Intervals whose middle lies within a span."""
    middles = grid.starts_us + grid.interval_us // 2
    inside: Mask = (middles >= span.start_us) & (middles < span.end_us)
    return inside


def runs(marked: Mask) -> list[tuple[int, int]]:
    """Begin and end of every run of marked slots."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(np.int8), [0]])))
    return [(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def widened(first: int, end: int, joining: Mask) -> tuple[int, int]:
    """A run with the slots beside it that join."""
    while first > 0 and joining[first - 1]:
        first -= 1
    while end < len(joining) and joining[end]:
        end += 1
    return first, end
