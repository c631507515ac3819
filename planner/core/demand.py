"""Demand: token rates per interval, from binned requests. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

import numpy as np

from planner.units import US_PER_HOUR, US_PER_S, Ints, from_us


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

    @property
    def busiest(self) -> tuple[int, int]:
        """The most input tokens and the most output tokens of an interval, which may be two intervals."""
        return int(self.input_tokens.max()), int(self.output_tokens.max())


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
