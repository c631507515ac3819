"""From targets per interval to the lives of units: when each joins, serves, drains and leaves. Pure.

The newest units leave first, so a unit that is still loading is the first to go. Times are whole seconds from
the start of the plan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import ROLES, Units
from planner.errors import RunError


@dataclass(frozen=True, kw_only=True)
class Life:
    """Units of one role that come and go together.

    They load in [joined_s, ready_s), serve in [ready_s, drain_s), drain in [drain_s, left_s). left_s is the end of
    the plan for those that stay. place: of units that do both, the first of their places side by side, several of which
    may be on a node (`packing`); nodes: of the other roles.
    """

    role: str
    units: int
    nodes: int = 0
    place: int = 0
    joined_s: int
    ready_s: int
    drain_s: int
    left_s: int

    def until(self, end_s: int) -> "Life":
        """The part of a life before the end of the plan."""
        if self.left_s <= end_s:
            return self
        return replace(self, ready_s=min(self.ready_s, end_s), drain_s=min(self.drain_s, end_s), left_s=end_s)


@dataclass
class _Open:
    """Units that have not left. joined_s is before 0 for those that serve from the beginning."""

    units: int
    joined_s: int


@dataclass(frozen=True)
class Timing:
    """How fast units come and go. ahead: drains end at the boundary; otherwise they begin there."""

    interval_s: int
    start_up_s: int
    drain_s: int
    ahead: bool


def unit_lives(targets: Sequence[Units], deployment: Deployment, timing: Timing) -> list[Life]:
    """The lives of all units that the targets need. The first interval's units serve from the beginning.

    targets: one per interval. Units that join while leaving ones still hold the nodes they need wait for these.
    Raises RunError for a target beyond the fleet.
    """
    end_s = len(targets) * timing.interval_s
    open_units = {role: [_Open(targets[0].of(role), -timing.start_up_s)] for role in ROLES}
    lives: list[Life] = []
    for index in range(1, len(targets)):
        at_s = index * timing.interval_s
        changes = {role: targets[index].of(role) - targets[index - 1].of(role) for role in ROLES}
        for role in ROLES:
            if changes[role] < 0:
                for units, joined_s in _newest(open_units[role], -changes[role]):
                    left = leaving(_units(role, units, deployment), joined_s, at_s, timing)
                    lives += [] if left is None else [left]
        for role in ROLES:
            if changes[role] > 0:
                open_units[role] += _join(lives, open_units, deployment, role, changes[role], at_s)
    for role in ROLES:
        for there in open_units[role]:
            if there.units and there.joined_s < end_s:
                lives.append(staying(_units(role, there.units, deployment), there.joined_s, timing, end_s))
    return [life.until(end_s) for life in lives]


def check_fits(targets: Sequence[Units], deployment: Deployment) -> None:
    """Raises RunError for a target beyond the fleet."""
    budget = deployment.settings.nodes
    for index, target in enumerate(targets):
        if deployment.nodes(target) > budget:
            held = " and ".join(f"{target.of(role)} {role}" for role in deployment.role_names)
            raise RunError(
                f"interval {index + 1} asks for {deployment.nodes(target)} nodes "
                f"({held} units) and the fleet has {budget}; "
                "ask for fewer units, or raise fleet.nodes"
            )


def staying(units: Life, joined_s: int, timing: Timing, end_s: int) -> Life:
    """The life of units that stay to the end of the plan. units: which, whatever their times."""
    ready_s = min(joined_s + timing.start_up_s, end_s)
    return replace(units, joined_s=max(joined_s, 0), ready_s=max(ready_s, 0), drain_s=end_s, left_s=end_s)


def leaving(units: Life, joined_s: int, at_s: int, timing: Timing) -> Life | None:
    """The life of units that are to leave at a boundary; None where they still wait for nodes and never join."""
    ready_s = joined_s + timing.start_up_s
    if at_s <= joined_s:
        return None
    if at_s <= ready_s:
        drain_s = left_s = ready_s = at_s
    elif timing.ahead:
        drain_s, left_s = max(at_s - timing.drain_s, ready_s), at_s
    else:
        drain_s, left_s = at_s, at_s + timing.drain_s
    return replace(units, joined_s=max(joined_s, 0), ready_s=max(ready_s, 0), drain_s=max(drain_s, 0), left_s=left_s)


def _units(role: str, units: int, deployment: Deployment) -> Life:
    """Units without times."""
    nodes = units * deployment.unit_nodes(role)
    return Life(role=role, units=units, nodes=nodes, joined_s=0, ready_s=0, drain_s=0, left_s=0)


def _newest(there: list[_Open], count: int) -> Iterator[tuple[int, int]]:
    """Take the newest units away, as (units, joined_s)."""
    while count:
        newest = there[-1]
        units = min(count, newest.units)
        newest.units -= units
        count -= units
        if newest.units == 0 and len(there) > 1:
            there.pop()
        yield units, newest.joined_s


def _join(
    lives: list[Life], open_units: dict[str, list[_Open]], deployment: Deployment, role: str, count: int, at_s: int
) -> list[_Open]:
    """Units that join from at_s on, each as soon as leaving units have made room for it."""
    size = deployment.unit_nodes(role)
    held = sum(there.units * deployment.unit_nodes(name) for name, group in open_units.items() for there in group)
    leaving = sorted((life.left_s, life.nodes) for life in lives if life.left_s > at_s)
    room = deployment.settings.nodes - held - sum(nodes for _, nodes in leaving)
    joined = []
    for moment, freed in [(at_s, 0), *leaving]:
        room += freed
        fit = min(count, room // size)
        if fit > 0:
            joined.append(_Open(fit, moment))
            room -= fit * size
            count -= fit
    assert count == 0, "targets fit the fleet, so all units find room once the others have left"
    return joined
