"""KEDA: a ScaledObject per role, with a cron trigger for every window above the night floor. Pure.

Rules of the format, from KEDA's cron scaler: metadata are strings; a trigger counts while its next end comes before its
next start; the most over all triggers wins, and never less than minReplicaCount.
"""

from planner.errors import RunError
from planner.export.formats.manifests import GROUPS, Manifest, drain_notes, metadata, to_yaml, units_line
from planner.export.formats.recurrence import (
    Jump,
    Moment,
    Pattern,
    RecurringWindow,
    find_jumps,
    find_jumps_in_year,
    pattern_of,
    recurring_windows,
)
from planner.export.formats.schedule import Export, ExportSchedule, RoleUnits
from planner.units import from_us

_TOLERANCE = 0.1
"""Published: an HPA leaves replicas alone that are within 10 % of what its metric asks for."""


def keda(schedule: ExportSchedule) -> Export:
    """The schedule as ScaledObjects. Raises RunError if none can express it."""
    notes, manifests, count = [], [], 0
    for role in schedule.roles:
        pattern = pattern_of(schedule.grid, role.units, schedule.zone, role.name)
        windows = _windows(pattern, role)
        notes += _refuse_or_note(schedule, windows, role)
        ignored = _within_tolerance(pattern)
        if ignored:
            notes.append(
                f"{role.workload}: the HPA would ignore steps within 10 %, such as {ignored[0]} to {ignored[1]} "
                "replicas; its tolerance is set to 0, which Kubernetes supports from 1.35 (behind a feature gate "
                "before) and KEDA from 2.18"
            )
        count += len(windows)
        manifests.append(_scaled_object(schedule, role, pattern, windows, exact=ignored is not None))
    comments = [
        schedule.title,
        *(units_line(role) for role in schedule.roles),
        *drain_notes(schedule),
        *notes,
    ]
    return Export(to_yaml(comments, manifests), f"{len(manifests)} ScaledObjects, {count} windows", tuple(notes))


def _windows(pattern: Pattern, role: RoleUnits) -> list[RecurringWindow]:
    floor = int(pattern.levels.min())
    if not pattern.levels.any():
        raise RunError(f"the plan has no {role.name} units at any time, so it has no schedule; plan with at least one")
    # KEDA requires a trigger even where nothing changes
    return recurring_windows(pattern, floor) or [RecurringWindow(Moment(0, None), Moment(23 * 60 + 59, None), floor)]


def _refuse_or_note(schedule: ExportSchedule, windows: list[RecurringWindow], role: RoleUnits) -> list[str]:
    """What KEDA gets wrong where the clock skips or repeats the edge of a window. Raises RunError inside the plan."""
    floor = int(role.units.min())
    edges = {moment.minute for window in windows if window.units > floor for moment in (window.start, window.end)}
    grid = schedule.grid
    for jump in find_jumps(schedule.zone, grid.start_us, grid.end_us):
        if edges & jump.minutes_of_day:
            raise RunError(
                f"{role.name} units change at {_time(edges, jump)}, which the clock of {schedule.zone} "
                f"{'skips' if jump.skips else 'repeats'} on {_date(jump, schedule)}, and KEDA then gets a window "
                "wrong for a day; export --to cronjob"
            )
    return [
        f"{role.workload}: on {_date(jump, schedule)} the clock of {schedule.zone} "
        f"{'skips' if jump.skips else 'repeats'} {_time(edges, jump)}, and KEDA then gets a window wrong for a "
        "day; --to cronjob does not"
        for jump in find_jumps_in_year(schedule.zone, grid.end_us)
        if edges & jump.minutes_of_day
    ]


def _within_tolerance(pattern: Pattern) -> tuple[int, int] | None:
    """Units before and after the first step that an HPA would ignore: onto a level above the floor, by its metric."""
    floor = int(pattern.levels.min())
    for minute in pattern.changes:
        before, after = int(pattern.levels[minute - 1]), int(pattern.levels[minute])
        if after > floor and before and abs(after - before) <= _TOLERANCE * before:
            return before, after
    return None


def _scaled_object(
    schedule: ExportSchedule, role: RoleUnits, pattern: Pattern, windows: list[RecurringWindow], *, exact: bool
) -> Manifest:
    group, version, _ = GROUPS[schedule.settings.workload_kind]
    behavior: Manifest = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    if exact:
        behavior = {"scaleDown": {"stabilizationWindowSeconds": 0, "tolerance": "0"}, "scaleUp": {"tolerance": "0"}}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(schedule, role.workload),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": f"{group}/{version}",
                "kind": schedule.settings.workload_kind,
                "name": role.workload,
            },
            "minReplicaCount": int(pattern.levels.min()),
            "maxReplicaCount": int(pattern.levels.max()),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": [
                {
                    "type": "cron",
                    "metadata": {
                        "timezone": str(schedule.zone),
                        "start": window.start.cron,
                        "end": window.end.cron,
                        "desiredReplicas": str(window.units),
                    },
                }
                for window in windows
            ],
        },
    }


def _date(jump: Jump, schedule: ExportSchedule) -> str:
    return from_us(jump.at_us, schedule.zone).date().isoformat()


def _time(edges: set[int], jump: Jump) -> str:
    minute = min(edges & jump.minutes_of_day)
    return f"{minute // 60:02d}:{minute % 60:02d}"
