"""What is optimised: demand, units, and what a schedule is worth once the interval replay has run it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.settings.fleet import UnitSettings
from planner.settings.training import TrainingSettings
from planner.units import MICROS_PER_USD, S_PER_HOUR, Ints

Objective = Literal["node-hours", "cost"]
"""node-hours: those of inference. cost: of inference, less the value of useful training, plus starts; in dollars."""


@dataclass(frozen=True, kw_only=True)
class ProblemRole:
    """One kind of unit. nodes: of one unit; floor and most: units at least and at most; demand: tokens, (count,)."""

    name: str
    nodes: int
    tokens_per_s_per_node: float
    floor: int
    most: int
    demand: Ints

    def carried(self, node_s: Ints) -> Ints:
        """Whole tokens that node-seconds carry, in the replay's arithmetic."""
        whole: Ints = np.floor(node_s * self.tokens_per_s_per_node).astype(np.int64)
        return whole

    def covering(self, interval_s: int) -> Ints:
        """The fewest units that carry each interval's demand throughout, (count,), not under the floor."""
        unit_s = self.nodes * interval_s
        units = np.maximum(np.ceil(self.demand / (unit_s * self.tokens_per_s_per_node)).astype(np.int64) - 1, 0)
        for _ in range(2):  # one step for the guess above, one for rounding in floating point
            units = units + (self.carried(units * unit_s) < self.demand)
        return np.maximum(units, self.floor)


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
    def roles(self) -> tuple[ProblemRole, ProblemRole]:
        """Prefill and decode."""
        fleet, floor, demand = self.deployment.settings, self.floor, self.demand
        return (
            self._role("prefill", fleet.prefill, floor.prefill, demand.input_tokens),
            self._role("decode", fleet.decode, floor.decode, demand.output_tokens),
        )

    def _role(self, name: str, unit: UnitSettings, floor: int, demand: Ints) -> ProblemRole:
        spare = self.nodes - self.deployment.nodes(self.floor)
        return ProblemRole(
            name=name,
            nodes=unit.nodes,
            tokens_per_s_per_node=unit.node_tokens_per_s,
            floor=floor,
            most=floor + spare // unit.nodes,
            demand=demand,
        )

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
