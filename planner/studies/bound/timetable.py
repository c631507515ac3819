"""The best schedule of a bound as a timetable that `planner plan` follows."""

import csv
from pathlib import Path

from planner.errors import PlannerError, UsageError
from planner.files import atomic_write
from planner.studies.bound.run import ScenarioBound


def save_timetable(bound: ScenarioBound, path: Path) -> None:
    """Write the first objective's best schedule that drains before boundaries, atomically.

    Raises PlannerError.
    """
    schedule = bound.first.timetable
    if schedule is None:
        raise PlannerError(f"{path}: no schedule to write, as the search found none; raise --time-limit")
    starts = bound.problem.demand.grid.local_starts(bound.scenario.zone)
    walls = [start.replace(tzinfo=None) for start in starts]
    if len(set(walls)) < len(walls):
        raise UsageError(
            f"{path}: the clock of {bound.scenario.timezone} goes back within the plan, so a timetable in local time "
            "would be ambiguous; plan with --set timezone=UTC"
        )
    try:
        with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            roles = bound.problem.deployment.role_names
            writer.writerow(("interval_start", *(f"{role}_units" for role in roles)))
            for wall, units in zip(walls, schedule.targets, strict=True):
                writer.writerow((wall.isoformat(timespec="minutes"), *(units.of(role) for role in roles)))
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror}; name another file with --save") from error
