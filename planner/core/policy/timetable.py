"""timetable: units from a given schedule that repeats every whole number of days. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import EVERY_ROLE, Units
from planner.core.policy.base import Sight, Tick
from planner.errors import UsageError
from planner.units import counted

Entry = tuple[datetime, int | Units]
"""Local wall-clock time without zone, and the nodes or units that inference holds from then on."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """Follows a schedule by local wall-clock time.

    marks_s: seconds from the first entry, ascending; units: one per mark. Repeats after period_s, whole days.
    """

    first: datetime
    marks_s: tuple[float, ...]
    units: tuple[Units, ...]
    period_s: float
    name: str = "timetable"
    ahead: bool = True
    sight: Sight = Sight.NOTHING
    lead_s: int = 0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[Entry], deployment: Deployment, notes: tuple[str, ...] = ()) -> "Timetable":
        """A timetable of entries in any order. Raises UsageError for nodes that no whole units occupy, and for units of
        roles that the fleet does not have."""
        if not entries:
            raise UsageError("the timetable has no rows; add at least one time with its nodes or units")
        ordered = sorted(entries, key=lambda entry: entry[0])
        first = ordered[0][0]
        for (moment, _), (following, _) in pairwise(ordered):
            if moment == following:
                raise UsageError(f"the timetable has two rows for {moment:%Y-%m-%d %H:%M}; remove one")
        # of units that share nodes, as many as fill these
        by_nodes = {deployment.nodes(units): units for units in deployment.ladder}
        columns = " and ".join(f"{role}_units" for role in deployment.role_names)
        units = []
        for moment, held in ordered:
            if isinstance(held, int):
                if deployment.apart:
                    raise UsageError(
                        f"the timetable asks for {counted(held, 'node')} at {moment:%Y-%m-%d %H:%M}, and with "
                        f"fleet.scaling=independent nodes do not say how many units each role has; give {columns}"
                    )
                if held not in by_nodes:
                    raise UsageError(
                        f"the timetable asks for {counted(held, 'node')} at {moment:%Y-%m-%d %H:%M}, but whole scaling "
                        f"steps in {counted(deployment.settings.nodes, 'node')} give "
                        f"{', '.join(map(str, by_nodes))}; correct it, or give {columns}"
                    )
                held = by_nodes[held]
            elif any(held.of(role) for role in EVERY_ROLE if role not in deployment.role_names):
                raise UsageError(
                    f"the timetable has units of other roles than those of {deployment.settings.serving} serving at "
                    f"{moment:%Y-%m-%d %H:%M}; give {columns}, or inference_nodes"
                )
            units.append(held)
        span = ordered[-1][0] - first
        period = max(1, -(-span // _DAY)) if span % _DAY else span // _DAY + 1
        return cls(
            first=first,
            marks_s=tuple((moment - first).total_seconds() for moment, _ in ordered),
            units=tuple(units),
            period_s=period * _DAY.total_seconds(),
            notes=notes,
        )

    def decide(self, tick: Tick) -> Units:
        place_s = (tick.start.replace(tzinfo=None) - self.first).total_seconds() % self.period_s
        return self.units[bisect_right(self.marks_s, place_s) - 1]
