"""What is optimised: demand, units, and what a schedule is worth once the interval replay has run it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import AGGREGATED, Units
from planner.core.replay.intervals.carried import mixes
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.settings.fleet import UnitSettings
from planner.settings.training import TrainingSettings
from planner.units import MICROS_PER_USD, S_PER_HOUR, Bools, Floats, Ints

Objective = Literal["node-hours", "cost"]
"""node-hours: those of inference. cost: of inference, less the value of useful training, plus starts; in dollars."""


@dataclass(frozen=True, kw_only=True)
class ProblemRole:
    """One kind of unit, in blocks: units that hold their nodes together. A block is one unit where it has whole nodes.

    nodes, units: of one block; floor and most: blocks at least and at most; demand: tokens, and what a node of serving
    units carries of them a second in the mix of the interval, both (count,).
    """

    name: str
    nodes: int
    units: int = 1
    tokens_per_s_per_node: Floats
    floor: int
    most: int
    demand: Ints

    def carries(self, blocks: Ints, interval_s: int) -> Bools:
        """Whether blocks that serve throughout carry each interval's demand, in the replay's arithmetic."""
        carried: Ints = np.floor(blocks * self.nodes * interval_s * self.tokens_per_s_per_node).astype(np.int64)
        return carried >= self.demand

    def block_tokens(self, interval_s: int) -> Floats:
        """Tokens that a block carries in each interval, (count,)."""
        return self.nodes * self.tokens_per_s_per_node * interval_s

    def covering(self, interval_s: int) -> Ints:
        """The fewest blocks that carry each interval's demand throughout, (count,), not under the floor."""
        rate = self.nodes * interval_s * self.tokens_per_s_per_node
        blocks = np.maximum(np.ceil(self.demand / rate).astype(np.int64) - 1, 0)
        for _ in range(2):  # one step for the guess above, one for rounding in floating point
            blocks = blocks + ~self.carries(blocks, interval_s)
        return np.maximum(blocks, self.floor)

    def blocks(self, units: Units) -> int:
        """The blocks that units take, the last of them perhaps in part."""
        return -(-units.of(self.name) // self.units)

    def of_blocks(self, blocks: int) -> Units:
        """The units of whole blocks."""
        return Units(**{self.name: blocks * self.units})


@dataclass(frozen=True, kw_only=True)
class AggregatedRole(ProblemRole):
    """Units that do both; their demand are tokens of both kinds.

    needed_s: seconds of a unit that carry each interval's demand, (count,). What falls short is the same share of both
    kinds, so that a second of a unit that is missing costs an interval's tokens over these seconds.
    """

    needed_s: Floats
    inputs: Ints
    outputs: Ints

    def carries(self, blocks: Ints, interval_s: int) -> Bools:
        none = self.needed_s == 0
        share = blocks * self.units * interval_s / np.where(none, 1.0, self.needed_s)
        enough: Bools = none | (
            (np.floor(share * self.inputs) >= self.inputs) & (np.floor(share * self.outputs) >= self.outputs)
        )
        return enough


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A plan to optimise: what the interval replay takes, the allowance, and what nodes and training are worth.

    max_shortfall_ratio: tokens that may fall short, over all tokens. training_value_ratio: value of a useful training
    node-hour over the price of a node-hour; 0 where nothing is lent. min_up_s, min_down_s: seconds that a unit stays
    once started or stopped; start_usd: dollars per unit that starts. These three restrict schedules further than
    policies are: the bound then holds for schedules that keep to them.
    """

    demand: Demand
    deployment: Deployment
    training: TrainingSettings
    floor: Units
    max_shortfall_ratio: float
    node_hour_micros: int
    training_value_ratio: float
    min_up_s: int = 0
    min_down_s: int = 0
    start_usd: float = 0.0

    @property
    def count(self) -> int:
        """Intervals."""
        return self.demand.grid.count

    @property
    def interval_s(self) -> int:
        return self.demand.grid.interval_s

    @property
    def nodes(self) -> int:
        """Nodes of the fleet."""
        return self.deployment.settings.nodes

    @cached_property
    def roles(self) -> tuple[ProblemRole, ...]:
        """Prefill and decode; or units that do both, alone."""
        fleet, floor, demand = self.deployment.settings, self.floor, self.demand
        if self.deployment.aggregated:
            return (self._aggregated(),)
        return (
            self._role("prefill", fleet.prefill, floor.prefill, demand.input_tokens),
            self._role("decode", fleet.decode, floor.decode, demand.output_tokens),
        )

    def _role(self, name: str, unit: UnitSettings, floor: int, demand: Ints) -> ProblemRole:
        spare = self.nodes - self.deployment.nodes(self.floor)
        return ProblemRole(
            name=name,
            nodes=unit.nodes,
            tokens_per_s_per_node=np.full(self.count, unit.node_tokens_per_s),
            floor=floor,
            most=floor + spare // unit.nodes,
            demand=demand,
        )

    def _aggregated(self) -> AggregatedRole:
        deployment, demand = self.deployment, self.demand
        units, nodes = deployment.units_per_node, deployment.unit_nodes(AGGREGATED)
        inputs, outputs = mixes(demand, deployment)
        return AggregatedRole(
            name=AGGREGATED,
            nodes=nodes,
            units=units,
            tokens_per_s_per_node=units / nodes * (inputs + outputs) / deployment.units_needed(inputs, outputs, 1.0),
            floor=-(-self.floor.aggregated // units),
            most=deployment.most // units,
            demand=demand.input_tokens + demand.output_tokens,
            needed_s=deployment.units_needed(demand.input_tokens, demand.output_tokens, 1.0),
            inputs=demand.input_tokens,
            outputs=demand.output_tokens,
        )

    def filled(self, targets: Sequence[Units]) -> list[Units]:
        """A schedule with all places used of the nodes that it holds."""
        return [sum((role.of_blocks(role.blocks(units)) for role in self.roles), Units()) for units in targets]

    def unserved(self, plan: IntervalPlan) -> Ints:
        """Tokens of a replayed plan that fall short, by role and interval."""
        if self.deployment.aggregated:
            return plan.shortfall_tokens[np.newaxis]
        return np.stack([plan.shortfall_input_tokens, plan.shortfall_output_tokens])

    @cached_property
    def tokens(self) -> int:
        """All tokens demanded."""
        return int(self.demand.input_tokens.sum() + self.demand.output_tokens.sum())

    @cached_property
    def allowed_tokens(self) -> int:
        """The most whole tokens whose share of all is not over the allowance, in floating point as plans are judged."""
        most = min(int(self.max_shortfall_ratio * self.tokens) + 1, self.tokens)
        while most > 0 and most / self.tokens > self.max_shortfall_ratio:
            most -= 1
        return most

    @property
    def start_node_s(self) -> float:
        """Node-seconds that cost as much as the start of a unit."""
        return self.start_usd * MICROS_PER_USD * S_PER_HOUR / self.node_hour_micros if self.start_usd else 0.0

    def lent_at_most(self) -> int:
        """The most nodes that training can hold."""
        most = self.training.max_nodes
        return self.nodes if most is None else min(most, self.nodes)

    def intervals(self, seconds: int) -> int:
        """Whole intervals that a time takes."""
        return -(-seconds // self.interval_s)

    def replay(self, targets: Sequence[Units], *, ahead: bool) -> IntervalPlan:
        """The interval replay of a schedule. Raises RunError for a target beyond the fleet."""
        return replay_intervals(targets, self.demand, self.deployment, self.training, ahead=ahead, floor=self.floor)

    def value(self, plan: IntervalPlan, objective: Objective) -> float:
        """What a replayed plan is charged, in node-seconds."""
        inference = int(plan.inference_node_s.sum())
        if objective == "node-hours":
            return inference
        starts = sum(life.units for life in plan.lives if life.joined_s > 0)
        return inference - self.training_value_ratio * int(plan.training_node_s.sum()) + self.start_node_s * starts

    def in_units(self, node_s: float, objective: Objective) -> float:
        """Charged node-seconds in the objective's unit: hours, or dollars."""
        hours = node_s / S_PER_HOUR
        return hours if objective == "node-hours" else hours * self.node_hour_micros / MICROS_PER_USD
