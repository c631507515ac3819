"""The demand that forecasts are made from: days joined, incomplete ends cut off. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from planner.core.demand import Demand, Grid
from planner.errors import UsageError
from planner.units import US_PER_HOUR, US_PER_S, Ints, iso

COUNTED = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")

_MOST_UNCOVERED = 0.1
"""An interval at either end of the history that a log leaves out by a larger part is dropped: it would look like a fall
in load. Smaller gaps are those before a first and after a last request. Assumed."""


@dataclass(frozen=True)
class Stretch:
    """The demand of one trace, and the time that the trace covers: UTC epoch microseconds."""

    name: str
    demand: Demand
    start_us: int
    end_us: int


def joined(stretches: Sequence[Stretch]) -> Demand:
    """The demand of traces that follow each other, in any order, less the intervals at the ends that they half cover.

    Two traces may share one interval, which then holds both. Raises UsageError for gaps and overlaps.
    """
    ordered = sorted(stretches, key=lambda stretch: stretch.start_us)
    for before, after in pairwise(ordered):
        _follows(before, after)
    start_us, interval_us = ordered[0].demand.grid.start_us, ordered[0].demand.grid.interval_us
    count = (ordered[-1].demand.grid.end_us - start_us) // interval_us
    sums = {name: np.zeros(count, np.int64) for name in COUNTED}
    for stretch in ordered:
        first = (stretch.demand.grid.start_us - start_us) // interval_us
        for name, values in sums.items():
            values[first : first + stretch.demand.grid.count] += getattr(stretch.demand, name)
    grid = replace(ordered[0].demand.grid, count=count)
    late = (ordered[0].start_us - grid.start_us) / interval_us > _MOST_UNCOVERED
    early = (grid.end_us - ordered[-1].end_us) / interval_us > _MOST_UNCOVERED
    return _part(grid, sums, int(late), count - int(early))


def _follows(before: Stretch, after: Stretch) -> None:
    step = before.demand.grid.interval_us
    apart = after.demand.grid.start_us - before.demand.grid.end_us
    if apart % step:
        raise UsageError(
            f"traces {before.name} and {after.name} are not on the same marks of {step // US_PER_S // 60} min; "
            "use shorter intervals"
        )
    if apart > 0:
        raise UsageError(
            f"between traces {before.name} and {after.name} {apart / US_PER_HOUR:.2f} h of demand are missing, from "
            f"{iso(before.end_us)}; forecasts need a history without gaps: add that time's trace, or leave one out"
        )
    if apart < -step:
        raise UsageError(
            f"traces {before.name} and {after.name} overlap by {-apart / US_PER_HOUR:.2f} h; leave one out"
        )


def _part(grid: Grid, sums: Mapping[str, Ints], first: int, end: int) -> Demand:
    end = max(first, end)
    part = Grid(grid.start_us + first * grid.interval_us, grid.interval_s, end - first)
    return Demand(grid=part, **{name: values[first:end] for name, values in sums.items()})
