"""The hours of a load by weekday and hour of the local clock. Pure."""

from collections.abc import Sequence
from datetime import datetime

from planner.settings.closed import WEEKDAYS, Weekday

LEAST_HOURS = 48
"""A load of more hours than this has a week that is worth showing."""


def by_week_hour(starts: Sequence[datetime]) -> dict[tuple[Weekday, int], list[int]]:
    """Which of the hours fall on each weekday and hour of the clock, Monday's midnight first.

    starts: of hours, in local time. The clock's repeated hour counts twice, and an hour that it skips not at all.
    """
    found: dict[tuple[Weekday, int], list[int]] = {(day, hour): [] for day in WEEKDAYS for hour in range(24)}
    for index, start in enumerate(starts):
        found[WEEKDAYS[start.weekday()], start.hour].append(index)
    return {slot: indexes for slot, indexes in found.items() if indexes}
