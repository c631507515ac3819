"""What the cases of a sweep have in common, and the uncertain values that have names of their own."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from planner.catalogue.scenarios import with_values
from planner.core.demand import Demand
from planner.core.load import LoadChange, hit_ratio, scaled
from planner.planning.capacity import Limits
from planner.planning.prepare import Prepared
from planner.planning.selection import change_of, set_hit_ratio
from planner.settings.scenario import Scenario
from planner.settings.trace import TraceSettings
from planner.trace.stored import TraceInfo
from planner.trace.synthetic.profile import Profile

CACHE_HIT = "cache_hit_ratio"
GPU_PRICE = "gpu_usd_per_hour"
NODES_DOWN = "nodes_down_ratio"
UNIT_CAPACITY = "unit_capacity_factor"
OWN = (CACHE_HIT, GPU_PRICE, NODES_DOWN, UNIT_CAPACITY)
"""Parameters under names of their own; the scenario's own value of one need not be that of a field."""
FIELDS = {
    "trace.cache_hit_ratio": CACHE_HIT,
    "economics.gpu_usd_per_hour": GPU_PRICE,
    "failures.nodes_down_ratio": NODES_DOWN,
}
"""Fields of the scenario that set these, by path."""

LEVEL, NOISE, GROWTH = "trace.demand_factor", "trace.noise", "trace.growth_per_day"

Value = float | int | None


@dataclass(frozen=True, kw_only=True)
class SweepBase:
    """What the cases of a sweep have in common.

    scenario: with the capacities to plan with. demand: of the base, with the trace's own hits. stored: the same as
    stored, before the scenario changes it. anchor_us: from which its days are counted, UTC epoch microseconds. profile:
    what the trace was drawn from; None for an imported one. settings: what its demand comes from, at the base.
    by_cells: whether the profile's cells give the stored demand exactly, so that a case's demand is that of a trace
    drawn for it. drawn: whether the stored demand holds the settings' level already. limits: of base units. prepared:
    the base under every policy of the sweep.
    """

    scenario: Scenario
    trace: TraceInfo
    demand: Demand
    stored: Demand
    anchor_us: int
    drawn: bool
    profile: Profile | None
    settings: TraceSettings
    by_cells: bool
    limits: Limits | None
    prepared: Mapping[str, Prepared]

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The scenario as nested values; provenance is left out, since no case is stored with it."""
        return {
            **self.scenario.model_dump(exclude={"provenance"}),
            "trace": self.settings.model_dump(),
        }

    def changed(self, settings: TraceSettings) -> Demand:
        """The stored demand as trace settings change it."""
        change = change_of(settings)
        if self.drawn:
            level = settings.demand_factor / self.settings.demand_factor
            change = LoadChange(demand_factor=level, noise=settings.noise, seed=settings.seed)
        return scaled(self.stored, change.factors(self.stored.grid, self.anchor_us, self.scenario.zone))

    @property
    def gpu_usd_per_hour(self) -> float:
        """Price of a GPU-hour."""
        return self.prepared[self.scenario.policy.name].prices.gpu.usd_per_gpu_hour

    @cached_property
    def own_hit_ratio(self) -> float:
        """Share of the stored trace's input tokens found in the cache."""
        return hit_ratio(self.demand)

    @property
    def hit_ratio(self) -> float:
        """The same as the scenario sets it, or as it is stored."""
        after = set_hit_ratio(self.scenario)
        return self.own_hit_ratio if after is None else after

    @property
    def nodes_down_ratio(self) -> float:
        """Share of nodes that the capacities allow to be down."""
        return self.scenario.failures.nodes_down_ratio

    def scenario_at(self, policy: str, values: Mapping[str, Value], seed: int) -> Scenario:
        """The scenario with fields at other values; values that are not fields are left out. Raises ScenarioError."""
        fields = {path: value for path, value in values.items() if path not in OWN}
        return with_values(copy.deepcopy(self.tree), {"policy.name": policy, "trace.seed": seed, **fields})
