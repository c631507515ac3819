"""The part of a plan that is replayed: what is counted, and what is simulated around it. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

import numpy as np

from planner.core.demand import Demand
from planner.errors import UsageError
from planner.settings.replay import ReplaySettings
from planner.units import US_PER_HOUR, US_PER_S, iso


@dataclass(frozen=True)
class ReplayWindow:
    """What is counted, and what is simulated around it: UTC epoch microseconds."""

    from_us: int
    to_us: int
    origin_us: int
    end_us: int

    @property
    def span_us(self) -> tuple[float, float, float]:
        """from, to and end from the origin."""
        return self.from_us - self.origin_us, self.to_us - self.origin_us, self.end_us - self.origin_us


def busiest_hour(demand: Demand, first_us: int) -> tuple[int, int]:
    """The hour with the most output tokens from first_us on: from and to, UTC epoch microseconds."""
    starts_us = demand.grid.starts_us
    after = starts_us + demand.grid.interval_us > first_us
    hours = np.maximum(starts_us[after], first_us) // US_PER_HOUR
    distinct = np.unique(hours)
    tokens = [int(demand.output_tokens[after][hours == hour].sum()) for hour in distinct]
    start = int(distinct[int(np.argmax(tokens))]) * US_PER_HOUR
    return max(start, first_us), min(start + US_PER_HOUR, demand.grid.end_us)


def window_of(
    demand: Demand,
    settings: ReplaySettings,
    start: datetime | None,
    end: datetime | None,
    whole: bool,
    zone: tzinfo = UTC,
) -> ReplayWindow:
    """The window to count, with the warm-up before it and the cool-down after it, inside the plan.

    Raises UsageError as `counted_window`, and for a window without room for a warm-up.
    """
    grid, warm_up_us = demand.grid, settings.warm_up_s * US_PER_S
    from_us, to_us = counted_window(demand, settings, start, end, whole, zone)
    if from_us < grid.start_us + warm_up_us:
        raise UsageError(
            f"a replay warms up for {settings.warm_up_s / 60:g} min before it counts; {_cure(demand, settings, zone)}"
        )
    quarter = 900 * US_PER_S
    origin = max(grid.start_us, (from_us - warm_up_us) // quarter * quarter)
    end_us = min(grid.end_us, -(-(to_us + settings.cool_down_s * US_PER_S) // quarter) * quarter)
    return ReplayWindow(from_us, to_us, origin, end_us)


def counted_window(
    demand: Demand,
    settings: ReplaySettings,
    start: datetime | None,
    end: datetime | None,
    whole: bool,
    zone: tzinfo = UTC,
) -> tuple[int, int]:
    """The window that is asked for, from and to, UTC epoch microseconds.

    whole: the whole plan after its warm-up. All left out: the busiest hour after it. zone: of times in messages. Raises
    UsageError for a window that is empty or not inside the plan, and for a plan that ends before it is warmed up.
    """
    grid = demand.grid
    first_us = grid.start_us + settings.warm_up_s * US_PER_S
    if first_us >= grid.end_us:
        raise UsageError(
            f"a replay warms up for {settings.warm_up_s / 60:g} min before it counts, and the plan has only "
            f"{grid.length_s / 60:g} min; use a longer trace"
        )
    if start is None and end is None and not whole:
        from_us, to_us = busiest_hour(demand, first_us)
    else:
        from_us = first_us if start is None else round(start.timestamp() * US_PER_S)
        to_us = grid.end_us if end is None else round(end.timestamp() * US_PER_S)
    shown, cure = (iso(from_us, zone), iso(to_us, zone)), _cure(demand, settings, zone)
    if from_us >= to_us:
        raise UsageError(f"the window is empty, from {shown[0]} to {shown[1]}; {cure}")
    if from_us < grid.start_us or to_us > grid.end_us:
        raise UsageError(f"the window, {shown[0]} to {shown[1]}, is not inside the plan; {cure}")
    return from_us, to_us


def _cure(demand: Demand, settings: ReplaySettings, zone: tzinfo) -> str:
    first_us = demand.grid.start_us + settings.warm_up_s * US_PER_S
    return f"count from {iso(first_us, zone)} or later up to {iso(demand.grid.end_us, zone)} or earlier"
