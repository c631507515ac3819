"""Deployment units: how nodes form prefill and decode units, how these scale in steps, and their capacity. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import overload

from planner.core.fleet.sharing import Want, shared
from planner.settings.closed import MOST_NODES
from planner.settings.fleet import FleetSettings, UnitCounts

ROLES = ("prefill", "decode")


@dataclass(frozen=True, order=True)
class Units:
    """A number of units of each role."""

    prefill: int
    decode: int

    def only(self, role: str) -> "Units":
        """The units of one role, and none of the other."""
        return Units(self.prefill, 0) if role == "prefill" else Units(0, self.decode)


class Ladder(Sequence[Units]):
    """Base units plus 0, 1, 2 ... steps, worked out as they are asked for."""

    def __init__(self, base: Units, step: Units, steps: int) -> None:
        self._base, self._step, self._counts = base, step, range(steps + 1)

    def __len__(self) -> int:
        return len(self._counts)

    @overload
    def __getitem__(self, index: int) -> Units: ...
    @overload
    def __getitem__(self, index: slice) -> list[Units]: ...

    def __getitem__(self, index: int | slice) -> Units | list[Units]:
        if isinstance(index, slice):
            return [self[count] for count in self._counts[index]]
        count, base, step = self._counts[index], self._base, self._step
        return Units(base.prefill + count * step.prefill, base.decode + count * step.decode)


@dataclass(frozen=True)
class Deployment:
    """The units that a fleet's nodes can form.

    role: the only one that scales and is counted, beside the base units of the other; None where both scale in a
    bundle.
    """

    settings: FleetSettings
    role: str | None = None

    @property
    def apart(self) -> bool:
        """Whether each role scales by its own demand."""
        return self.settings.scaling == "independent"

    @cached_property
    def roles(self) -> dict[str, "Deployment"]:
        """The same nodes for each role alone, which scales in its own steps."""
        return {role: Deployment(self.settings, role) for role in ROLES}

    @cached_property
    def bundle(self) -> "Deployment":
        """The same nodes for both roles, which scale together."""
        if self.role is None and not self.apart:
            return self
        return Deployment(self.settings.model_copy(update={"scaling": "bundled"}))

    def nodes(self, units: Units) -> int:
        """Nodes that units occupy."""
        return units.prefill * self.settings.prefill.nodes + units.decode * self.settings.decode.nodes

    def capacity(self, units: Units, seconds: float) -> tuple[float, float]:
        """Input tokens (cache hits included) and output tokens that units carry in a time."""
        prefill, decode = self.settings.prefill, self.settings.decode
        return (
            units.prefill * prefill.nodes * prefill.node_tokens_per_s * seconds,
            units.decode * decode.nodes * decode.node_tokens_per_s * seconds,
        )

    def covers(self, units: Units, input_tokens: float, output_tokens: float, seconds: float) -> bool:
        """Whether units carry that many tokens of both kinds in a time."""
        able_input, able_output = self.capacity(units, seconds)
        return able_input >= input_tokens and able_output >= output_tokens

    @cached_property
    def ladder(self) -> Sequence[Units]:
        """Base units plus 0, 1, 2 ... whole scaling steps, as far as the fleet's nodes reach.

        Of one role: as far as the nodes of any fleet reach, because how much it wants decides what it gets (`shared`).
        """
        base, step = _units(self.settings.base), _units(self.settings.step)
        if self.role:
            steps = MOST_NODES // self.step_nodes if self.step_nodes else 0
            return Ladder(base.only(self.role), step.only(self.role), steps)
        return tuple(Ladder(base, step, (self.settings.nodes - self.nodes(base)) // self.step_nodes))

    @property
    def step_nodes(self) -> int:
        """Nodes of one scaling step; 0 for a role that does not scale."""
        step = _units(self.settings.step)
        return self.nodes(step.only(self.role) if self.role else step)

    @cached_property
    def full(self) -> Units:
        """The full fleet: the most units that whole steps of both roles reach; of one role, its part of them.

        Where roles scale apart, nodes that are left go to single steps.
        """
        if self.role:
            return Deployment(self.settings).full.only(self.role)
        if not self.apart:
            return self.ladder[-1]
        steps = Ladder(_units(self.settings.base), _units(self.settings.step), self.settings.nodes)
        return self.shared(steps[-1], self.ladder[-1], self.settings.nodes)

    def floor(self, nodes: int) -> Units:
        """The least units that inference keeps: base units plus the fewest whole steps of at least that many nodes.

        Of one role: its part of them, so that floors of both roles together are those of the bundle.
        """
        return self.ladder[self.step_of_nodes(nodes)]

    def fewest(self, enough: Callable[[Units], bool], least_step: int = 0) -> Units:
        """The fewest steps above the base that are enough, or else the full fleet.

        enough: monotonic, true of more steps where it is true of fewer. least_step: the fewest steps to try.
        """
        return self.ladder[
            bisect_left(range(len(self.ladder) - 1), True, lo=least_step, key=lambda step: enough(self.ladder[step]))
        ]

    def fewest_covering(self, input_tokens: float, output_tokens: float, seconds: float, least_step: int = 0) -> Units:
        """The fewest steps above the base that carry the tokens in a time, or else the full fleet."""
        return self.fewest(lambda units: self.covers(units, input_tokens, output_tokens, seconds), least_step)

    def fewest_of_each(self, input_tokens: float, output_tokens: float, seconds: float) -> Units:
        """The fewest units of each role, in its own steps, that carry its tokens in a time, or else the most of it."""
        prefill = self.roles["prefill"].fewest_covering(input_tokens, 0.0, seconds)
        decode = self.roles["decode"].fewest_covering(0.0, output_tokens, seconds)
        return Units(prefill.prefill, decode.decode)

    def enough(self, input_tokens: float, output_tokens: float, seconds: float) -> Units:
        """The fewest units that carry the tokens in a time at full use, however many nodes the fleet has.

        Base units and whole scaling steps; a role that is short and that no step holds has units of its own.
        """
        base, step = _units(self.settings.base), _units(self.settings.step)
        prefill = _least(lambda count: self.capacity(Units(count, 0), seconds)[0] >= input_tokens)
        decode = _least(lambda count: self.capacity(Units(0, count), seconds)[1] >= output_tokens)
        steps = Units(_steps(prefill - base.prefill, step.prefill), _steps(decode - base.decode, step.decode))
        if not self.apart:
            steps = Units(max(astuple(steps)), max(astuple(steps)))
        return Units(
            max(prefill, base.prefill + steps.prefill * step.prefill),
            max(decode, base.decode + steps.decode * step.decode),
        )

    def reaches(self, units: Units) -> bool:
        """Whether the fleet can scale to at least so many units of each role."""
        if not self.apart:
            return _holds(self.full, units)
        within = self.nodes(units) <= self.settings.nodes
        return within and all(_holds(self.roles[role].ladder[-1], units.only(role)) for role in ROLES)

    def step_within(self, units: Units) -> int:
        """The most whole steps above the base within the units; 0 where there is none."""
        return max(
            bisect_right(range(len(self.ladder)), False, key=lambda step: not _holds(units, self.ladder[step])) - 1, 0
        )

    def step_of_nodes(self, nodes: int) -> int:
        """The fewest steps above the base whose units occupy at least that many nodes, or else the most steps.

        Of one role: as many of its steps as the bundle takes of both.
        """
        if self.role:
            return min(self.bundle.step_of_nodes(nodes), len(self.ladder) - 1)
        for count, units in enumerate(self.ladder):
            if self.nodes(units) >= nodes:
                return count
        return len(self.ladder) - 1

    def shared(self, wanted: Units, least: Units, nodes: int) -> Units:
        """What both roles get within the nodes, in their own steps: `planner.core.fleet.sharing` has the rule.

        least: units that are given in any case, as far as they are wanted.
        """
        if self.nodes(wanted) <= nodes:
            return wanted
        prefill, decode = (
            Want(
                units=getattr(wanted, role),
                least=min(getattr(wanted, role), getattr(least, role)),
                step=getattr(self.settings.step, role),
                unit_nodes=getattr(self.settings, role).nodes,
            )
            for role in ROLES
        )
        return Units(*shared((prefill, decode), nodes))


def _units(counts: UnitCounts) -> Units:
    return Units(counts.prefill, counts.decode)


def _holds(units: Units, others: Units) -> bool:
    return units.prefill >= others.prefill and units.decode >= others.decode


def _least(enough: Callable[[int], bool]) -> int:
    """The least whole number, from 0, that is enough; every larger one is."""
    beyond = 1
    while not enough(beyond):
        beyond *= 2
    return bisect_left(range(beyond), True, key=enough)


def _steps(units: int, of_step: int) -> int:
    """The fewest steps that add so many units of a role; 0 where none are missing, or steps hold none of them."""
    return max(0, -(-units // of_step)) if of_step else 0
