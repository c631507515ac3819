"""From targets per interval to the lives of units: when each joins, serves, drains and leaves. Pure.

The newest units leave first, so a unit that is still loading is the first to go. Times are whole seconds from
the start of the plan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import AGGREGATED, ROLES, Units
from planner.errors import RunError
from planner.settings.fleet import FleetSettings
from planner.units import counted


@dataclass(frozen=True, kw_only=True)
class Life:
    """Units of one role that come and go together.

    They load in [joined_s, ready_s), serve in [ready_s, drain_s), drain in [drain_s, left_s). left_s is the end of
    the plan for those that stay. place: of units that do both, the first of their places side by side, several of which
    may be on a node (`packing`); nodes: of the other roles. warm: whether it came back to weights that it had kept.
    kept_s: until when nodes keep its weights after it has left.
    """

    role: str
    units: int
    nodes: int = 0
    place: int = 0
    joined_s: int
    ready_s: int
    drain_s: int
    left_s: int
    warm: bool = False
    kept_s: int = 0

    @property
    def loaded(self) -> bool:
        """Whether the units have their weights when they leave."""
        return self.warm or self.left_s > self.ready_s

    def resting(self, since_s: int, until_s: int) -> "Life":
        """What its nodes keep after it has left, as a life in which they do nothing else."""
        return replace(
            self, joined_s=since_s, ready_s=since_s, drain_s=since_s, left_s=since_s, kept_s=until_s, warm=False
        )

    def until(self, end_s: int) -> "Life":
        """The part of a life before the end of the plan."""
        if max(self.left_s, self.kept_s) <= end_s:
            return self
        return replace(
            self,
            ready_s=min(self.ready_s, end_s),
            drain_s=min(self.drain_s, end_s),
            left_s=min(self.left_s, end_s),
            kept_s=min(self.kept_s, end_s),
        )


@dataclass(frozen=True)
class Timing:
    """How fast units come and go. ahead: drains end at the boundary; otherwise they begin there."""

    interval_s: int
    start_up_s: int
    drain_s: int
    ahead: bool


@dataclass
class _Open:
    """Units that have not left. joined_s is before 0 for those that serve from the beginning. timing: their own."""

    units: int
    joined_s: int
    timing: Timing
    warm: bool = False


@dataclass
class _Asleep:
    """Units that have left and keep their weights. since_s: when the last of them was empty."""

    units: int
    since_s: int


@dataclass(frozen=True)
class Keeps:
    """What units keep when they leave. start_up_s: of those that come back. resident: it is kept on their nodes, which
    do nothing else meanwhile, unless others that join have no other nodes."""

    start_up_s: int
    resident: bool

    @classmethod
    def of(cls, fleet: FleetSettings) -> "Keeps | None":
        """None where units keep nothing."""
        return None if fleet.keeps == "nothing" else cls(fleet.warm_start_up_s, fleet.keeps == "resident")


@dataclass(frozen=True)
class RoleLives:
    """The lives of units of two roles. resting: weights that their nodes keep between lives, as lives that are kept."""

    lives: list[Life]
    resting: list[Life]


def unit_lives(targets: Sequence[Units], deployment: Deployment, timing: Timing) -> RoleLives:
    """The lives of all units that the targets need. The first interval's units serve from the beginning.

    targets: one per interval. Units that join while leaving ones still hold the nodes they need wait for these.
    Raises RunError for a target beyond the fleet.
    """
    end_s = len(targets) * timing.interval_s
    held = _Held(deployment, timing, {role: [_Open(targets[0].of(role), -timing.start_up_s, timing)] for role in ROLES})
    for index in range(1, len(targets)):
        at_s = index * timing.interval_s
        changes = {role: targets[index].of(role) - targets[index - 1].of(role) for role in ROLES}
        for role in ROLES:
            if changes[role] < 0:
                held.leave(role, -changes[role], at_s)
        for role in ROLES:
            if changes[role] > 0:
                held.join(role, changes[role], at_s)
    return held.ended(end_s)


class _Held:
    """The units of two roles while a plan goes on: open ones, those that have left, and those that keep weights."""

    def __init__(self, deployment: Deployment, timing: Timing, open_units: dict[str, list[_Open]]) -> None:
        self._deployment, self._timing, self._open = deployment, timing, open_units
        self._keeps = Keeps.of(deployment.settings)
        self._asleep: dict[str, list[_Asleep]] = {role: [] for role in ROLES}
        self._lives: list[Life] = []
        self._resting: list[Life] = []

    def leave(self, role: str, count: int, at_s: int) -> None:
        """The newest units leave at a boundary."""
        for units, there in _newest(self._open[role], count):
            left = leaving(self._units(role, units, warm=there.warm), there.joined_s, at_s, there.timing)
            if left is None:
                continue
            self._lives.append(left)
            if self._keeps and left.loaded:
                self._asleep[role].append(_Asleep(units, left.left_s))

    def join(self, role: str, count: int, at_s: int) -> None:
        """Units join from a boundary on, each as soon as leaving units have made room for it, warm ones as far as any
        have kept their weights."""
        size, budget = self._deployment.unit_nodes(role), self._deployment.settings.nodes
        leaving = sorted((life.left_s, life.nodes) for life in self._lives if life.left_s > at_s)
        room = budget - self._open_nodes() - sum(nodes for _, nodes in leaving)
        for moment, freed in [(at_s, 0), *leaving]:
            room += freed
            fit = min(count, room // size)
            if fit > 0:
                back = self._call_back(role, fit, moment)
                if back:
                    assert self._keeps is not None
                    warm = replace(self._timing, start_up_s=self._keeps.start_up_s)
                    self._open[role].append(_Open(back, moment, warm, warm=True))
                if fit > back:
                    self._open[role].append(_Open(fit - back, moment, self._timing))
                self._give_way(moment)
                room -= fit * size
                count -= fit
        assert count == 0, "targets fit the fleet, so all units find room once the others have left"

    def ended(self, end_s: int) -> RoleLives:
        """All lives up to the end of the plan."""
        for role in ROLES:
            for there in self._open[role]:
                if there.units and there.joined_s < end_s:
                    units = self._units(role, there.units, warm=there.warm)
                    self._lives.append(staying(units, there.joined_s, there.timing, end_s))
            for asleep in self._asleep[role]:
                self._rest(role, asleep.units, asleep.since_s, end_s)
        return RoleLives([life.until(end_s) for life in self._lives], [life.until(end_s) for life in self._resting])

    def _call_back(self, role: str, count: int, at_s: int) -> int:
        """Of so many units that join, those that have kept their weights, the last to have left first."""
        back = 0
        for asleep in reversed(self._asleep[role]):
            if asleep.since_s <= at_s:
                units = min(count - back, asleep.units)
                self._wake(role, asleep, units, at_s)
                back += units
        return back

    def _give_way(self, at_s: int) -> None:
        """Nodes that only keep weights are given up, the longest kept first, where others need them."""
        if not (self._keeps and self._keeps.resident):
            return
        taken = self._open_nodes() + sum(life.nodes for life in self._lives if life.left_s > at_s)
        kept = [(asleep, role) for role in ROLES for asleep in self._asleep[role] if asleep.since_s <= at_s]
        free = self._deployment.settings.nodes - taken
        over = sum(asleep.units * self._deployment.unit_nodes(role) for asleep, role in kept) - free
        for asleep, role in sorted(kept, key=lambda pair: pair[0].since_s):
            size = self._deployment.unit_nodes(role)
            units = min(asleep.units, max(-(-over // size), 0))
            self._wake(role, asleep, units, at_s)
            over -= units * size

    def _wake(self, role: str, asleep: _Asleep, units: int, at_s: int) -> None:
        """So many units keep weights no longer."""
        self._rest(role, units, asleep.since_s, at_s)
        asleep.units -= units

    def _rest(self, role: str, units: int, since_s: int, until_s: int) -> None:
        if self._keeps and self._keeps.resident and units and until_s > since_s:
            self._resting.append(self._units(role, units).resting(since_s, until_s))

    def _open_nodes(self) -> int:
        return sum(
            there.units * self._deployment.unit_nodes(role) for role, group in self._open.items() for there in group
        )

    def _units(self, role: str, units: int, *, warm: bool = False) -> Life:
        """Units without times."""
        nodes = units * self._deployment.unit_nodes(role)
        return Life(role=role, units=units, nodes=nodes, warm=warm, joined_s=0, ready_s=0, drain_s=0, left_s=0)


def check_fits(targets: Sequence[Units], deployment: Deployment) -> None:
    """Raises RunError for a target beyond the fleet."""
    budget = deployment.settings.nodes
    for index, target in enumerate(targets):
        if deployment.nodes(target) > budget:
            held = " and ".join(_held(target, role) for role in deployment.role_names)
            raise RunError(
                f"interval {index + 1} asks for {counted(deployment.nodes(target), 'node')} "
                f"({held}) and the fleet has {budget}; "
                "ask for fewer units, or raise fleet.nodes"
            )


def _held(target: Units, role: str) -> str:
    return counted(target.of(role), "unit" if role == AGGREGATED else f"{role} unit")


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


def _newest(there: list[_Open], count: int) -> Iterator[tuple[int, _Open]]:
    """Take the newest units away, as (units, which)."""
    while count:
        newest = there[-1]
        units = min(count, newest.units)
        newest.units -= units
        count -= units
        if newest.units == 0 and len(there) > 1:
            there.pop()
        yield units, newest
