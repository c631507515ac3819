"""From targets per interval to the lives of units: when each joins, serves, drains and leaves. Pure.

The newest units leave first, so a unit that is still loading is the first to go. Times are whole seconds from
the start of the plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.core.fleet.deployment import ROLES, Deployment, Units
from planner.errors import RunError


@dataclass(frozen=True, kw_only=True)
class Life:
    """Units of one role that come and go together.

    They load in [joined_s, ready_s), serve in [ready_s, drain_s), drain in [drain_s, left_s). left_s is the end of
    the plan for those that stay.
    """

    role: str
    units: int
    nodes: int
    joined_s: int
    ready_s: int
    drain_s: int
    left_s: int


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
    budget = deployment.settings.nodes
    for index, target in enumerate(targets):
        if deployment.nodes(target) > budget:
            raise RunError(
                f"interval {index + 1} asks for {deployment.nodes(target)} nodes "
                f"({target.prefill} prefill, {target.decode} decode units) and the fleet has {budget}; "
                "ask for fewer units, or raise fleet.nodes"
            )
    end_s = len(targets) * timing.interval_s
    open_units = {role: [_Open(getattr(targets[0], role), -timing.start_up_s)] for role in ROLES}
    lives: list[Life] = []
    for index in range(1, len(targets)):
        at_s = index * timing.interval_s
        changes = {role: getattr(targets[index], role) - getattr(targets[index - 1], role) for role in ROLES}
        for role in ROLES:
            if changes[role] < 0:
                lives += _leave(open_units[role], -changes[role], at_s, _size(deployment, role), role, timing)
        for role in ROLES:
            if changes[role] > 0:
                open_units[role] += _join(lives, open_units, deployment, role, changes[role], at_s)
    for role in ROLES:
        for there in open_units[role]:
            if there.units and there.joined_s < end_s:
                ready_s = min(there.joined_s + timing.start_up_s, end_s)
                nodes = there.units * _size(deployment, role)
                lives.append(
                    Life(
                        role=role,
                        units=there.units,
                        nodes=nodes,
                        joined_s=max(there.joined_s, 0),
                        ready_s=max(ready_s, 0),
                        drain_s=end_s,
                        left_s=end_s,
                    )
                )
    return [_cut(life, end_s) for life in lives]


def _leave(there: list[_Open], count: int, at_s: int, size: int, role: str, timing: Timing) -> list[Life]:
    """End the newest units' lives at a boundary, or from it on."""
    lives = []
    while count:
        newest = there[-1]
        units = min(count, newest.units)
        newest.units -= units
        count -= units
        if newest.units == 0 and len(there) > 1:
            there.pop()
        ready_s = newest.joined_s + timing.start_up_s
        if at_s <= newest.joined_s:
            continue  # still waiting for nodes: it never joined
        if at_s <= ready_s:
            drain_s = left_s = ready_s = at_s
        elif timing.ahead:
            drain_s, left_s = max(at_s - timing.drain_s, ready_s), at_s
        else:
            drain_s, left_s = at_s, at_s + timing.drain_s
        lives.append(
            Life(
                role=role,
                units=units,
                nodes=units * size,
                joined_s=max(newest.joined_s, 0),
                ready_s=max(ready_s, 0),
                drain_s=max(drain_s, 0),
                left_s=left_s,
            )
        )
    return lives


def _join(
    lives: list[Life], open_units: dict[str, list[_Open]], deployment: Deployment, role: str, count: int, at_s: int
) -> list[_Open]:
    """Units that join from at_s on, each as soon as leaving units have made room for it."""
    size = _size(deployment, role)
    held = sum(there.units * _size(deployment, name) for name, group in open_units.items() for there in group)
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


def _size(deployment: Deployment, role: str) -> int:
    return deployment.settings.prefill.nodes if role == "prefill" else deployment.settings.decode.nodes


def _cut(life: Life, end_s: int) -> Life:
    """The part of a life before the end of the plan."""
    if life.left_s <= end_s:
        return life
    return Life(
        role=life.role,
        units=life.units,
        nodes=life.nodes,
        joined_s=life.joined_s,
        ready_s=min(life.ready_s, end_s),
        drain_s=min(life.drain_s, end_s),
        left_s=end_s,
    )
