"""Demand: token rates per interval, from binned requests. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from planner.units import S_PER_DAY, US_PER_HOUR, US_PER_S, Ints, from_us, to_us


@dataclass(frozen=True)
class Grid:
    """Equal intervals one after the other. start_us: UTC epoch microseconds of the first."""

    start_us: int
    interval_s: int
    count: int

    @property
    def interval_us(self) -> int:
        return self.interval_s * US_PER_S

    @property
    def end_us(self) -> int:
        return self.start_us + self.count * self.interval_us

    @property
    def length_s(self) -> int:
        return self.count * self.interval_s

    @property
    def starts_us(self) -> Ints:
        """Start of every interval, (count,)."""
        return self.start_us + np.arange(self.count, dtype=np.int64) * self.interval_us

    def local_starts(self, zone: tzinfo) -> list[datetime]:
        """Start of every interval in a zone."""
        return [from_us(int(start), zone) for start in self.starts_us]


@dataclass(frozen=True, kw_only=True)
class Demand:
    """The demand of the requests in each interval, sample weight applied; arrays (grid.count,).

    input_tokens count cache hits, cached_input_tokens are part of them.
    """

    grid: Grid
    requests: Ints
    input_tokens: Ints
    cached_input_tokens: Ints
    output_tokens: Ints


def grid_over(start_us: int, end_us: int, interval_s: int, zone: tzinfo) -> Grid:
    """The grid that covers [start_us, end_us); marks count from the full local hour at or before the start."""
    hour = local_hour_us(start_us, zone)
    interval_us = interval_s * US_PER_S
    first = (start_us - hour) // interval_us
    last = -((hour - end_us) // interval_us)
    return Grid(hour + first * interval_us, interval_s, max(last - first, 1))


def local_hour_us(at_us: int, zone: tzinfo) -> int:
    """Start of the local clock hour that a moment falls in, UTC epoch microseconds."""
    offset = from_us(at_us, zone).utcoffset()
    shift_us = int(offset.total_seconds()) * US_PER_S if offset else 0
    return (at_us + shift_us) // US_PER_HOUR * US_PER_HOUR - shift_us


MOST_SILENT_US = 8 * US_PER_HOUR
"""Most clock time of a lone day that a log may leave out for it to count as silence. Assumed: a night."""


def whole_days(demand: Demand, zone: tzinfo) -> Demand:
    """The demand over whole local days, where it is that of whole days but for a silent beginning or end.

    What is missing of the first and of the last day is silent if other days have no demand at these times, or, where
    there is no other day, if most of the day is there. Otherwise the log may have begun late or ended early, and the
    demand stays as it is; so it does where days do not begin on marks of the grid.
    """
    grid = demand.grid
    before = grid.start_us - _midnight_us(grid.start_us, zone)
    after = _midnight_us(grid.end_us - 1, zone, days=1) - grid.end_us
    if before % grid.interval_us or after % grid.interval_us or not (before or after):
        return demand
    starts = grid.local_starts(zone)
    dates = np.array([start.toordinal() for start in starts])
    clock_us = np.array([_clock_us(start) for start in starts])
    busy = demand.requests + demand.input_tokens + demand.output_tokens > 0
    # by the clock, as a night that has an hour twice is no longer for that
    missing_us = clock_us[0] + S_PER_DAY * US_PER_S - clock_us[-1] - grid.interval_us
    lone = dates[0] == dates[-1] and missing_us <= MOST_SILENT_US

    def silent(others: NDArray[np.bool_], missing_us: int) -> bool:
        seen_us = len(np.unique(clock_us[others])) * grid.interval_us
        return lone or (seen_us >= missing_us and not busy[others].any())

    if before and not silent((dates != dates[0]) & (clock_us < clock_us[0]), before):
        before = 0
    ends_us = clock_us[-1] + grid.interval_us
    if after and not silent((dates != dates[-1]) & (clock_us >= ends_us), after):
        after = 0
    return _padded(demand, before // grid.interval_us, after // grid.interval_us)


def _padded(demand: Demand, before: int, after: int) -> Demand:
    """The demand with so many intervals without any at either end."""
    grid = demand.grid
    return Demand(
        grid=Grid(grid.start_us - before * grid.interval_us, grid.interval_s, before + grid.count + after),
        requests=np.pad(demand.requests, (before, after)),
        input_tokens=np.pad(demand.input_tokens, (before, after)),
        cached_input_tokens=np.pad(demand.cached_input_tokens, (before, after)),
        output_tokens=np.pad(demand.output_tokens, (before, after)),
    )


def _midnight_us(at_us: int, zone: tzinfo, days: int = 0) -> int:
    """Start of the local day that a moment falls in, or of one so many days later, UTC epoch microseconds."""
    day = from_us(at_us, zone).date() + timedelta(days=days)
    return to_us(datetime.combine(day, time(), zone))


def _clock_us(moment: datetime) -> int:
    """Time of the day on the clock, microseconds."""
    return (moment.hour * 3600 + moment.minute * 60 + moment.second) * US_PER_S


def from_bins(grid: Grid, bins: Mapping[str, Ints], weight: int) -> Demand:
    """Demand from counted rows. bins: interval_index, row_count and token sums, in any order, gaps allowed."""
    index = np.asarray(bins["interval_index"], np.int64)

    def spread(name: str) -> Ints:
        values = np.zeros(grid.count, np.int64)
        values[index] = np.asarray(bins[name], np.int64) * weight
        return values

    return Demand(
        grid=grid,
        requests=spread("row_count"),
        input_tokens=spread("input_tokens"),
        cached_input_tokens=spread("cached_input_tokens"),
        output_tokens=spread("output_tokens"),
    )


def peak_to_mean(values: Ints) -> float | None:
    """Busiest interval over the mean; None where there is no demand."""
    return float(values.max() / values.mean()) if len(values) and values.any() else None
