"""What recurs of a plan, made to fit its target, and how that differs from the plan. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np

from planner.export.formats.fit import coarsen, fit
from planner.export.formats.recurrence import DAYS, Pattern, pattern_of, typical_week, wall_minutes, week_minutes
from planner.export.formats.schedule import AgainstPlan, ExportSchedule, RoleUnits
from planner.units import Ints, from_us


@dataclass(frozen=True)
class Limit:
    """What a target takes. most: entries; what: of what, as in "the 125 scheduled actions that a group can have".

    least_minutes: how long units have to hold.
    """

    most: int
    what: str
    least_minutes: int = 1


@dataclass(frozen=True, kw_only=True)
class Series:
    """What recurs. values: per interval; they may be raised, and so nodes of training, which may not, are negative.

    noun: what they are called. nodes: the nodes of values.
    """

    of: Literal["prefill", "decode", "aggregated", "training"]
    noun: str
    workload: str
    values: Ints
    nodes: Callable[[Ints], Ints]

    @property
    def counted(self) -> str:
        """What they are, whatever their role."""
        return self.noun.split()[-1]

    @property
    def sign(self) -> int:
        return -1 if self.of == "training" else 1


@dataclass(frozen=True)
class Recurring:
    """A pattern that fits its target."""

    series: Series
    pattern: Pattern
    against_plan: AgainstPlan
    notes: tuple[str, ...]


def units_of(role: RoleUnits) -> Series:
    """The units of a role."""
    return Series(of=role.name, noun=role.noun, workload=role.workload, values=role.units, nodes=role.nodes)


def nodes_of(role: RoleUnits) -> Series:
    """The nodes of a role: units that have parts of a node come and go without it."""
    nodes = role.nodes(role.units)
    return Series(of=role.name, noun="nodes", workload=role.workload, values=nodes, nodes=lambda values: values)


def recurring(schedule: ExportSchedule, series: Series, limit: Limit, count: Callable[[Pattern], int]) -> Recurring:
    """The pattern of a series that fits a target: a daily or weekly one of the plan, or its typical week.

    count: how many entries a pattern makes. Raises RunError if the plan does not recur.
    """
    if schedule.typical_week is None:
        exact = pattern_of(schedule.grid, series.values, schedule.zone, series.noun)
    else:
        exact = typical_week(schedule.grid, series.values, schedule.zone, schedule.typical_week)
    needed = count(exact)
    spaced = coarsen(exact, limit.least_minutes)
    fitted = fit(spaced, limit.most, count)
    against = _against(schedule, series, fitted, entries=count(fitted), entries_needed=needed)
    notes = []
    if spaced is not exact:
        reason = f"it changes at times less than {limit.least_minutes} min apart"
        notes.append(_changed(series, reason, exact, spaced))
    if fitted is not spaced:
        reason = f"{count(spaced)} entries are more than {limit.what}"
        notes.append(_changed(series, reason, spaced, fitted))
    if schedule.typical_week is not None:
        notes.append(_typical(series, against))
    return Recurring(series, fitted, against, tuple(notes))


def asleep_notes(found: Recurring, cure: str) -> list[str]:
    """What a schedule that goes down to nothing cannot do: wake. cure: what has to be beside it."""
    if found.pattern.levels.any() and not found.pattern.levels.min():
        return [
            f"{found.series.workload}: at some times there are no {found.series.counted}, and a schedule wakes none "
            f"for a request that comes then, as the plan and its replay do: {cure}, and let the gateway hold requests "
            "until a replica serves"
        ]
    return []


def week_note(schedule: ExportSchedule, *, lent: bool = False) -> tuple[str, ...]:
    """What the typical week is made of, if there is one. lent: it is of nodes that are lent."""
    quantile = schedule.typical_week
    if quantile is None:
        return ()
    start, end = (
        from_us(at_us, schedule.zone).replace(tzinfo=None) for at_us in (schedule.grid.start_us, schedule.grid.end_us)
    )
    days = (end - start) / timedelta(days=1)
    most = math.ceil(days / DAYS)
    extreme = "least" if lent else "largest"
    which = extreme if quantile == 1 else f"{1 - quantile if lent else quantile:g} quantile"
    # a quantile of few values is one of them
    same = quantile < 1 and math.ceil(quantile * most - 1e-9) == most
    note = f"a typical week of {days:.3g} days: the {which} by weekday and local time of {schedule.zone}"
    return (f"{note}, which is the {extreme} of so few weeks" if same else note,)


def _changed(series: Series, reason: str, before: Pattern, after: Pattern) -> str:
    """A note on what was raised and why: minutes of the day or week, and node-hours."""
    size = max(len(before.levels), len(after.levels))
    low, high = (np.tile(pattern.levels, size // len(pattern.levels)) for pattern in (before, after))
    hours = float((series.nodes(high) - series.nodes(low)).sum()) / 60
    minutes = int((high != low).sum())
    span = "day" if size == 1440 else "week"
    if series.of == "training":
        effect = f"{hours:,.1f} node-hours a {span} less, never more"
    else:
        effect = f"{hours:,.1f} node-hours a {span} more, never fewer {series.counted}"
    return f"{series.workload}: {reason}, so {minutes:,} of {size:,} minutes a {span} differ: {effect}"


def _typical(series: Series, against: AgainstPlan) -> str:
    more, fewer = against.node_hours_more, against.node_hours_fewer
    whole = f"of the {against.plan_node_hours:,.1f} planned"
    if series.of == "training":
        return (
            f"{series.workload}: {fewer:,.1f} node-hours less are lent {whole}; more than planned is lent in "
            f"{against.intervals_more} of {against.intervals} intervals ({more:,.1f} node-hours)"
        )
    return (
        f"{series.workload}: {more:,.1f} node-hours more beside {whole[3:]}; fewer {series.counted} than planned in "
        f"{against.intervals_fewer} of {against.intervals} intervals ({fewer:,.1f} node-hours)"
    )


def _against(
    schedule: ExportSchedule, series: Series, pattern: Pattern, *, entries: int, entries_needed: int
) -> AgainstPlan:
    grid = schedule.grid
    held = pattern.levels[week_minutes(wall_minutes(grid, schedule.zone)) % len(pattern.levels)]
    planned = np.repeat(series.values, grid.interval_s // 60)
    more = (held - planned) * series.sign
    nodes = (series.nodes(held) - series.nodes(planned)) * series.sign
    by_interval = more.reshape(grid.count, -1)
    return AgainstPlan(
        of=series.of,
        minutes=len(more),
        minutes_that_differ=int((more != 0).sum()),
        plan_node_hours=abs(int(series.nodes(series.values).sum())) * grid.interval_s / 3600,
        node_hours_more=int(nodes[nodes > 0].sum()) / 60,
        node_hours_fewer=-int(nodes[nodes < 0].sum()) / 60,
        intervals=grid.count,
        intervals_more=int((by_interval > 0).any(axis=1).sum()),
        intervals_fewer=int((by_interval < 0).any(axis=1).sum()),
        entries=entries,
        entries_needed=entries_needed,
    )
