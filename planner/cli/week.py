"""A week as a table: a row per hour of the clock, a column per weekday."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from planner.cli.output import print_line, print_table

if TYPE_CHECKING:
    from planner.settings.closed import Weekday


def print_week(head: str, cells: "Mapping[tuple[Weekday, int], float]", digits: int = 0) -> None:
    """Print a figure by weekday and hour. head: what it is. cells: by weekday and hour; none where there is none."""
    from planner.settings.closed import WEEKDAYS

    rows = [(f"{hour:02}:00", *(_shown(cells.get((day, hour)), digits) for day in WEEKDAYS)) for hour in range(24)]
    print_line(head)
    print_table(("<hour", *(day.capitalize() for day in WEEKDAYS)), rows)


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
