"""The settings of training on nodes that inference does not hold."""

from typing import Literal

from planner.settings.closed import Closed, DayOfSeconds, NodeCount, WeekOfSeconds

Placement = Literal["first-fit", "deadline-first", "value-first"]


class TrainingSettings(Closed):
    """What happens to nodes that inference does not hold."""

    lend: bool
    """Whether free nodes train; otherwise they are idle."""
    restore_s: DayOfSeconds
    """Seconds, at most a day, until a training job that got nodes has loaded its checkpoint and makes progress
    again."""
    min_window_s: WeekOfSeconds
    """Nodes that are free for fewer seconds than this, at most a week, stay idle."""
    max_nodes: NodeCount | None = None
    """Maximum nodes that training can use at a time; left out: no limit."""
    jobs: str | None = None
    """Jobs to place on the lent nodes: the name of a built-in list or the path of a TOML file; left out: none."""
    placement: Placement = "first-fit"
    """Which waiting job starts first: that which could start first (then as listed), that with the earliest deadline,
    or that of the most value per node-hour."""
