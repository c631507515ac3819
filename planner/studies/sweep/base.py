"""What the cases of a sweep have in common, and the uncertain values that are not scenario fields."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from planner.catalogue.scenarios import with_values
from planner.core.demand import Demand
from planner.core.load import LoadChange, scaled
from planner.planning.capacity import Limits
from planner.planning.prepare import Prepared
from planner.planning.selection import change_of
from planner.settings.scenario import Scenario
from planner.settings.trace import TraceSettings
from planner.trace.stored import TraceInfo
from planner.trace.synthetic.profile import Profile

CACHE_HIT = "cache_hit_ratio"
GPU_PRICE = "gpu_usd_per_hour"
NODES_DOWN = "nodes_down_ratio"
UNIT_CAPACITY = "unit_capacity_factor"
OWN = (CACHE_HIT, GPU_PRICE, NODES_DOWN, UNIT_CAPACITY)
"""Parameters that are not scenario fields."""

LEVEL, NOISE, GROWTH = "trace.demand_factor", "trace.noise", "trace.growth_per_day"

Value = float | int | None


@dataclass(frozen=True, kw_only=True)
class SweepBase:
    """What the cases of a sweep have in common.

    scenario: with the capacities to plan with. demand: of the base. stored: the same as stored, before the scenario
    changes it. anchor_us: from which its days are counted, UTC epoch microseconds. profile: what the trace was drawn
    from; None for an imported one. settings: what its demand comes from, at the base. by_cells: whether the profile's
    cells give the stored demand exactly, so that a case's demand is that of a trace drawn for it. drawn: whether the
    stored demand holds the settings' level already. limits: of base units. prepared: the base under every policy of the
    sweep.
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
    def hit_ratio(self) -> float:
        """Share of the stored trace's input tokens found in the cache."""
        total = int(self.demand.input_tokens.sum())
        return int(self.demand.cached_input_tokens.sum()) / total if total else 0.0

    def scenario_at(self, policy: str, values: Mapping[str, Value], seed: int) -> Scenario:
        """The scenario with fields at other values; values that are not fields are left out. Raises ScenarioError."""
        fields = {path: value for path, value in values.items() if path not in OWN}
        return with_values(copy.deepcopy(self.tree), {"policy.name": policy, "trace.seed": seed, **fields})
