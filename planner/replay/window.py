"""The part of a plan that is replayed: what is counted, and what is simulated around it. Pure."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from planner.demand import Demand
from planner.errors import UsageError
from planner.scenario.models import ReplaySettings
from planner.units import US_PER_S, from_us


@dataclass(frozen=True)
class Window:
    """What is counted, and what is simulated around it: UTC epoch microseconds."""

    from_us: int
    to_us: int
    origin_us: int
    end_us: int

    @property
    def span_us(self) -> tuple[float, float, float]:
        """from, to and end from the origin."""
        return self.from_us - self.origin_us, self.to_us - self.origin_us, self.end_us - self.origin_us


def busiest_hour(demand: Demand) -> tuple[int, int]:
    """The hour with the most output tokens: from and to, UTC epoch microseconds."""
    hour_us = 3600 * US_PER_S
    hours = demand.grid.starts_us // hour_us
    distinct = np.unique(hours)
    tokens = [int(demand.output_tokens[hours == hour].sum()) for hour in distinct]
    start = int(distinct[int(np.argmax(tokens))]) * hour_us
    return max(start, demand.grid.start_us), min(start + hour_us, demand.grid.end_us)


def window_of(
    demand: Demand, settings: ReplaySettings, start: datetime | None, end: datetime | None, whole: bool
) -> Window:
    """What to count, and around it the warm-up before and the cool-down after, inside the plan.

    Raises UsageError as `counted_window`, and for a window too close to the plan's beginning to be warmed up.
    """
    warm_up_us = settings.warm_up_s * US_PER_S
    from_us, to_us = counted_window(demand, settings, start, end, whole)
    if from_us - warm_up_us < demand.grid.start_us:
        raise UsageError(
            f"a replay warms up for {settings.warm_up_s // 60} min and the plan begins at "
            f"{_text(demand.grid.start_us)}; "
            f"count from {_text(demand.grid.start_us + warm_up_us)} or later"
        )
    quarter = 900 * US_PER_S
    origin = max(demand.grid.start_us, (from_us - warm_up_us) // quarter * quarter)
    end_us = min(demand.grid.end_us, -(-(to_us + settings.cool_down_s * US_PER_S) // quarter) * quarter)
    return Window(from_us, to_us, origin, end_us)


def counted_window(
    demand: Demand, settings: ReplaySettings, start: datetime | None, end: datetime | None, whole: bool
) -> tuple[int, int]:
    """The window that is asked for, from and to, UTC epoch microseconds.

    whole: the whole plan after its warm-up. All left out: the busiest hour. Raises UsageError for a window that is
    empty or not inside the plan.
    """
    warm_up_us = settings.warm_up_s * US_PER_S
    if start is None and end is None and not whole:
        from_us, to_us = busiest_hour(demand)
    else:
        from_us = demand.grid.start_us + warm_up_us if start is None else round(start.timestamp() * US_PER_S)
        to_us = demand.grid.end_us if end is None else round(end.timestamp() * US_PER_S)
    first, last = (_text(at) for at in (demand.grid.start_us, demand.grid.end_us))
    if not demand.grid.start_us <= from_us < to_us <= demand.grid.end_us:
        raise UsageError(f"the window is empty or not inside the plan, from {first} to {last}; correct --from and --to")
    return from_us, to_us


def _text(at_us: int) -> str:
    """ISO-8601 in UTC."""
    return from_us(at_us).isoformat()
