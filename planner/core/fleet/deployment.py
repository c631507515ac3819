"""Deployment units: how nodes form prefill and decode units, how these scale in steps, and their capacity. Pure."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.region import CapacityRegion
from planner.core.fleet.sharing import Want, shared
from planner.core.fleet.units import AGGREGATED, ROLES, Units
from planner.settings.closed import MOST_NODES
from planner.settings.fleet import FleetSettings, UnitCounts
from planner.units import Floats

ROUNDING = 1e-12
"""Part of a unit that is not a further one: some times what rounding adds to whole numbers of units. Computed."""


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
        return self._base + self._step * self._counts[index]


@dataclass(frozen=True)
class Deployment:
    """The units that a fleet's nodes can form.

    role: the only one that scales and is counted, beside the base units of the other; None where both scale in a
    bundle.
    """

    settings: FleetSettings
    role: str | None = None

    @property
    def aggregated(self) -> bool:
        """Whether units read prompts and decode on the same GPUs."""
        return self.settings.serving == "aggregated"

    @property
    def role_names(self) -> tuple[str, ...]:
        """The roles that units have."""
        return (AGGREGATED,) if self.aggregated else ROLES

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

    def unit_nodes(self, role: str) -> int:
        """Nodes of one unit of a role; 1 where several share a node."""
        return self.settings.unit_nodes if role == AGGREGATED else int(getattr(self.settings, role).nodes)

    @property
    def units_per_node(self) -> int:
        """Units that share a node: 1 where each has whole nodes."""
        return self.settings.units_per_node if self.aggregated else 1

    @cached_property
    def region(self) -> CapacityRegion:
        """What one unit that does both carries, tokens a second."""
        pairs = self.settings.aggregated.tokens_per_s
        assert pairs is not None, "capacities are modelled before they are used"
        return CapacityRegion(pairs)

    def nodes(self, units: Units) -> int:
        """Nodes that units occupy, whole ones: units that are smaller are packed."""
        if self.aggregated:
            return -(-units.aggregated // self.units_per_node) * self.settings.unit_nodes
        return units.prefill * self.settings.prefill.nodes + units.decode * self.settings.decode.nodes

    def capacity(self, units: Units, seconds: float) -> tuple[float, float]:
        """Input tokens (cache hits included) and output tokens that units of two roles carry in a time."""
        prefill, decode = self.settings.prefill, self.settings.decode
        return (
            units.prefill * prefill.nodes * prefill.node_tokens_per_s * seconds,
            units.decode * decode.nodes * decode.node_tokens_per_s * seconds,
        )

    def units_needed(self, input_tokens: ArrayLike, output_tokens: ArrayLike, seconds: float) -> Floats:
        """Units that do both, in parts of one, that carry tokens in a time; arguments broadcast."""
        needed: Floats = self.region.units(input_tokens, output_tokens, seconds) * (1 - ROUNDING)
        return needed

    def covers(self, units: Units, input_tokens: float, output_tokens: float, seconds: float) -> bool:
        """Whether units carry that many tokens of both kinds in a time."""
        if self.aggregated:
            return units.aggregated >= float(self.units_needed(input_tokens, output_tokens, seconds))
        able_input, able_output = self.capacity(units, seconds)
        return able_input >= input_tokens and able_output >= output_tokens

    @cached_property
    def ladder(self) -> Sequence[Units]:
        """Base units plus 0, 1, 2 ... whole scaling steps, as far as the fleet's nodes reach.

        Of one role: as far as the nodes of any fleet reach, because how much it wants decides what it gets (`shared`).
        """
        base, step = self.least, self.step
        if self.role:
            steps = MOST_NODES // self.step_nodes if self.step_nodes else 0
            return Ladder(base.only(self.role), step.only(self.role), steps)
        if self.aggregated:
            return tuple(Ladder(base, step, (self.most - base.aggregated) // step.aggregated))
        return tuple(Ladder(base, step, (self.settings.nodes - self.nodes(base)) // self.step_nodes))

    @property
    def most(self) -> int:
        """Units that do both that the fleet's nodes hold."""
        return self.settings.nodes // self.settings.unit_nodes * self.units_per_node

    @cached_property
    def least(self) -> Units:
        """The base units."""
        return self._counted(self.settings.base)

    @cached_property
    def step(self) -> Units:
        """The units of one scaling step."""
        return self._counted(self.settings.step)

    def _counted(self, counts: UnitCounts) -> Units:
        return Units.by_role(lambda role: int(getattr(counts, role)), self.role_names)

    @property
    def step_nodes(self) -> int:
        """Nodes of one scaling step, in which it may be a part only; 0 for a role that does not scale."""
        return self.nodes(self.step.only(self.role) if self.role else self.step)

    def steps_in(self, nodes: int) -> int:
        """Whole scaling steps that fit in so many nodes, for a role that scales."""
        if self.aggregated:
            return nodes // self.settings.unit_nodes * self.units_per_node // self.step.aggregated
        return nodes // self.step_nodes

    @cached_property
    def full(self) -> Units:
        """The full fleet: the most units that whole steps of both roles reach; of one role, its part of them.

        Where roles scale apart, nodes that are left go to single steps.
        """
        if self.role:
            return Deployment(self.settings).full.only(self.role)
        if not self.apart:
            return self.ladder[-1]
        steps = Ladder(self.least, self.step, self.settings.nodes)
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

    def enough(self, input_tokens: ArrayLike, output_tokens: ArrayLike, seconds: float) -> Units:
        """The fewest units that carry the tokens of each of some times at full use, however many nodes the fleet has.

        Base units and whole scaling steps; a role that is short and that no step holds has units of its own.
        """
        base, step = self.least, self.step
        if self.aggregated:
            needed = math.ceil(np.max(self.units_needed(input_tokens, output_tokens, seconds)))
            return base + step * _steps(needed - base.aggregated, step.aggregated)
        most_input, most_output = float(np.max(input_tokens)), float(np.max(output_tokens))
        prefill = _least(lambda count: self.capacity(Units(count, 0), seconds)[0] >= most_input)
        decode = _least(lambda count: self.capacity(Units(0, count), seconds)[1] >= most_output)
        steps = (_steps(prefill - base.prefill, step.prefill), _steps(decode - base.decode, step.decode))
        if not self.apart:
            steps = (max(steps), max(steps))
        return Units(
            max(prefill, base.prefill + steps[0] * step.prefill),
            max(decode, base.decode + steps[1] * step.decode),
        )

    def reaches(self, units: Units) -> bool:
        """Whether the fleet can scale to at least so many units of each role."""
        if not self.apart:
            return self.full.holds(units)
        within = self.nodes(units) <= self.settings.nodes
        return within and all(self.roles[role].ladder[-1].holds(units.only(role)) for role in ROLES)

    def step_within(self, units: Units) -> int:
        """The most whole steps above the base within the units; 0 where there is none."""
        return max(
            bisect_right(range(len(self.ladder)), False, key=lambda step: not units.holds(self.ladder[step])) - 1, 0
        )

    def step_of_nodes(self, nodes: int) -> int:
        """The fewest steps above the base whose units occupy at least that many nodes, or else the most steps.

        Of one role: as many of its steps as the bundle takes of both.
        """
        if self.role:
            return min(self.bundle.step_of_nodes(nodes), len(self.ladder) - 1)
        if self.aggregated:
            # a node that is held is paid whole, so a floor of nodes is one of all their units
            filling = -(-nodes // self.settings.unit_nodes) * self.units_per_node
            return min(_steps(filling - self.least.aggregated, self.step.aggregated), len(self.ladder) - 1)
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


def _least(enough: Callable[[int], bool]) -> int:
    """The least whole number, from 0, that is enough; every larger one is."""
    beyond = 1
    while not enough(beyond):
        beyond *= 2
    return bisect_left(range(beyond), True, key=enough)


def _steps(units: int, of_step: int) -> int:
    """The fewest steps that add so many units of a role; 0 where none are missing, or steps hold none of them."""
    return max(0, -(-units // of_step)) if of_step else 0
