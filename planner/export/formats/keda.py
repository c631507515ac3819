"""KEDA: a ScaledObject per workload, with a cron trigger for every window above the night floor. Pure.

Rules of the format, from KEDA's cron scaler: metadata are strings; a trigger counts while its next end comes before its
next start; the most over all triggers wins, and never less than minReplicaCount. An HPA reads triggers one after
another, so that of two windows that touch, both may read as closed; windows lie one inside the other instead. Commas in
cron expressions make names of metrics that KEDA before 2.20 does not find, so days are single or a range.
"""

from collections.abc import Iterator, Set

from planner.errors import RunError
from planner.export.formats.manifests import GROUPS, Manifest, drain_notes, metadata, to_yaml, units_line
from planner.export.formats.recurrence import (
    DAYS,
    Jump,
    Moment,
    Pattern,
    RecurringWindow,
    find_jumps,
    find_jumps_in_year,
    name_days,
    recurring_windows,
)
from planner.export.formats.recurring import Limit, asleep_notes, recurring, units_of, week_note
from planner.export.formats.schedule import Export, ExportSchedule, RoleUnits
from planner.units import counted, from_us

_LIMIT = Limit(100, "the 100 triggers that an HPA reads one after another in one pass of 15 s")
"""Chosen: a trigger takes 20 to 100 ms to read, and an HPA's passes are 15 s apart."""
_STABILIZATION_S = 60
"""Chosen: an HPA takes the most replicas of so long before it gives some up, so that a pass that reads late or wrong is
forgiven. Four passes of 15 s."""
_WAKES = (
    "add a trigger by requests to this object, such as a prometheus trigger on the requests that the gateway holds, or "
    "the external-push trigger of KEDA's HTTP add-on"
)
_TOLERANCE = 0.1
"""Published: an HPA leaves replicas alone that are within 10 % of what its metric asks for."""


def keda(schedule: ExportSchedule) -> Export:
    """The schedule as ScaledObjects. Raises RunError if none can express it."""
    notes, manifests, against, count = list(week_note(schedule)), [], [], 0
    jumps = find_jumps_in_year(schedule.zone, schedule.grid.start_us)
    unsafe = {minute for jump in jumps for minute in jump.minutes_of_day}
    for role in schedule.roles:
        if not role.units.any():
            raise RunError(f"the plan has no {role.noun} at any time, so it has no schedule; plan with at least one")
        found = recurring(schedule, units_of(role), _LIMIT, lambda pattern: len(_windows(pattern, unsafe)))
        if not found.pattern.levels.any():
            raise RunError(
                f"the typical week has no {role.noun} at any time, so it has no schedule; take a larger "
                "quantile, or --week largest"
            )
        windows = _windows(found.pattern, unsafe)
        notes += [*found.notes, *_refuse_or_note(schedule, windows, found.pattern, role)]
        notes += asleep_notes(found, _WAKES)
        ignored = _within_tolerance(found.pattern)
        if ignored:
            notes.append(
                f"{role.workload}: the HPA would ignore steps within 10 %, such as {ignored[0]} to {ignored[1]} "
                "replicas; its tolerance is set to 0, which Kubernetes supports from 1.35 (behind a feature gate "
                "before) and KEDA from 2.18"
            )
        if found.pattern.changes:
            notes.append(_stabilization(role, found.pattern))
        count += len(windows)
        against.append(found.against_plan)
        manifests.append(_scaled_object(schedule, role, found.pattern, windows, exact=ignored is not None))
    comments = [
        schedule.title,
        *(units_line(role) for role in schedule.roles),
        *drain_notes(schedule),
        *notes,
    ]
    objects = "1 ScaledObject" if len(manifests) == 1 else f"{len(manifests)} ScaledObjects"
    summary = f"{objects}, {counted(count, 'window')}"
    return Export(to_yaml(comments, manifests), summary, tuple(notes), tuple(against))


def _windows(pattern: Pattern, unsafe: Set[int]) -> list[RecurringWindow]:
    """Windows above the fewest units, each on single days or a range of them. unsafe: minutes at which clocks jump."""
    floor = int(pattern.levels.min())
    windows = [part for window in recurring_windows(pattern, floor, unsafe) for part in _ranges(window)]
    # KEDA requires a trigger even where nothing changes
    return windows or [RecurringWindow(Moment(0, None), Moment(23 * 60 + 59, None), floor)]


def _ranges(window: RecurringWindow) -> Iterator[RecurringWindow]:
    """A window as several, whose days are ranges by the days of cron, where they start and where they end."""
    if window.start.days is None:
        yield window
        return
    run: list[int] = []
    ordered = sorted((day + 1) % DAYS for day in window.start.days)
    for day, after in zip(ordered, [*ordered[1:], -1], strict=True):
        run.append(day)
        # cron's week ends with Saturday, and no range runs over it
        if after != day + 1 or (after + window.days_later) % DAYS == 0:
            days = [(each - 1) % DAYS for each in run]
            start, end = (
                Moment(at.minute, tuple(sorted((each + later) % DAYS for each in days)))
                for at, later in ((window.start, 0), (window.end, window.days_later))
            )
            yield RecurringWindow(start, end, window.units, window.days_later)
            run = []


def _stabilization(role: RoleUnits, pattern: Pattern) -> str:
    """What it costs that replicas are given up late."""
    nodes = role.nodes(pattern.levels)
    steps = nodes[pattern.changes] - nodes[[minute - 1 for minute in pattern.changes]]
    hours = -int(steps[steps < 0].sum()) * _STABILIZATION_S / 3600
    late_by = "stabilizationWindowSeconds" if pattern.levels.min() else "stabilizationWindowSeconds, cooldownPeriod"
    return (
        f"{role.workload}: replicas leave up to {_STABILIZATION_S} s late ({late_by}), which costs up "
        f"to {hours:,.1f} node-hours a {'day' if pattern.daily else 'week'}"
    )


def _refuse_or_note(
    schedule: ExportSchedule, windows: list[RecurringWindow], pattern: Pattern, role: RoleUnits
) -> list[str]:
    """What KEDA gets wrong where the clock skips or repeats the edge of a window. Raises RunError inside the plan.

    A typical week is for the weeks to come, whatever the clock did in those of the plan.
    """
    floor = int(pattern.levels.min())
    edges = {moment.minute for window in windows if window.units > floor for moment in (window.start, window.end)}
    grid = schedule.grid
    inside = () if schedule.typical_week is not None else find_jumps(schedule.zone, grid.start_us, grid.end_us)
    for jump in inside:
        if edges & jump.minutes_of_day:
            raise RunError(
                f"{role.noun} change at {_time(edges, jump)}, which the clock of {schedule.zone} "
                f"{'skips' if jump.skips else 'repeats'} on {_date(jump, schedule)}, and KEDA "
                f"{_effect(jump, pattern)}; export --to cronjob"
            )
    return [
        f"{role.workload}: on {_date(jump, schedule)} the clock of {schedule.zone} "
        f"{'skips' if jump.skips else 'repeats'} {_time(edges, jump)}, and KEDA {_effect(jump, pattern)}; "
        "--to cronjob does not"
        for jump in find_jumps_in_year(schedule.zone, grid.end_us)
        if edges & jump.minutes_of_day
    ]


def _effect(jump: Jump, pattern: Pattern) -> str:
    """What KEDA makes of an edge at such a time: a window is open if its next end comes before its next start."""
    if jump.skips:
        return f"may open a window up to a {'day' if pattern.daily else 'week'} early"
    return "may open or close a window late, when the time comes again"


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
    behavior: Manifest = {"scaleDown": {"stabilizationWindowSeconds": _STABILIZATION_S}}
    if exact:
        behavior = {
            "scaleDown": {"stabilizationWindowSeconds": _STABILIZATION_S, "tolerance": "0"},
            "scaleUp": {"tolerance": "0"},
        }
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
            # the last replicas are KEDA's to take, after 300 s if nothing is said, and not the HPA's
            **({} if pattern.levels.min() else {"cooldownPeriod": _STABILIZATION_S}),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": [
                {
                    "type": "cron",
                    "metadata": {
                        "timezone": str(schedule.zone),
                        "start": _cron(window.start),
                        "end": _cron(window.end),
                        "desiredReplicas": str(window.units),
                    },
                }
                for window in windows
            ],
        },
    }


def _cron(at: Moment) -> str:
    """Like Moment.cron, with two days as a range too."""
    days = "*" if at.days is None else name_days(((day + 1) % DAYS for day in at.days), "0123456", pairs=True)
    return f"{at.minute % 60} {at.minute // 60} * * {days}"


def _date(jump: Jump, schedule: ExportSchedule) -> str:
    return from_us(jump.at_us, schedule.zone).date().isoformat()


def _time(edges: set[int], jump: Jump) -> str:
    minute = min(edges & jump.minutes_of_day)
    return f"{minute // 60:02d}:{minute % 60:02d}"
