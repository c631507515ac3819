"""The forecasters by name, and the history that they need."""

from planner.core.demand import Grid
from planner.core.forecast.base import Forecaster, Seasons
from planner.core.forecast.day_of_week import DayOfWeek
from planner.core.forecast.external import StatsforecastMstl
from planner.core.forecast.holt_winters import HoltWinters
from planner.core.forecast.naive import SeasonalNaive
from planner.core.forecast.profile_level import ProfileLevel
from planner.errors import UsageError
from planner.units import S_PER_DAY, S_PER_HOUR

BUILT_IN = ("profile-level", "seasonal-naive", "day-of-week", "holt-winters")
METHODS = (*BUILT_IN, "statsforecast-mstl")
AUTO = "auto"
CANDIDATES = ("profile-level", "seasonal-naive", "day-of-week")
"""What auto chooses from. holt-winters is as good as the first an hour ahead, and worse further on."""


def forecaster(method: str, interval_s: int, season: str) -> Forecaster:
    """The forecaster with a given name; of auto, what it begins with. season: day or week. Raises UsageError."""
    seasons = Seasons.of(interval_s)
    length = seasons.week if season == "week" else seasons.day
    if method in (AUTO, "profile-level"):
        return ProfileLevel(seasons)
    if method == "seasonal-naive":
        return SeasonalNaive(length)
    if method == "day-of-week":
        return DayOfWeek(seasons)
    if method == "holt-winters":
        return HoltWinters(length)
    if method == "statsforecast-mstl":
        return StatsforecastMstl(seasons, weekly=season == "week")
    raise UsageError(f'no forecast method "{method}"; use {AUTO} or one of {", ".join(METHODS)}')


def require_history(maker: Forecaster, grid: Grid, what: str, beyond: int = 0) -> None:
    """Raises UsageError where a history is shorter than what a forecaster needs, and `beyond` intervals more.

    what: the history's name in the message.
    """
    if grid.count >= maker.needs + beyond:
        return
    further = " and something after it to compare with" if beyond else ""
    days = -(-(maker.needs + beyond) * grid.interval_s // S_PER_DAY)
    raise UsageError(
        f"{maker.name} needs {_hours(maker.needs, grid.interval_s)} of history{further}, and {what} has "
        f"{_hours(grid.count, grid.interval_s)}; use a longer one: a drawn trace with --set trace.days={days}, or "
        "further stored ones with --trace"
    )


def _hours(intervals: int, interval_s: int) -> str:
    return f"{intervals * interval_s / S_PER_HOUR:g} h ({intervals:,} intervals)"
