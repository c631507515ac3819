"""Fleets of several kinds of units for one service: pools, each with the scenario of its own fleet."""

from typing import Literal, Self

from pydantic import model_validator

from planner.settings.closed import Closed, PositiveNodeCount


class FleetPool(Closed):
    """Nodes of one kind that serve in one way."""

    name: str
    """Name of the pool."""
    scenario: str
    """Scenario of a fleet like it, with its engine, policy, targets and prices: a built-in name, or the path of a TOML
    file from the folder that this file is in."""
    nodes: PositiveNodeCount | None = None
    """Nodes of the pool; left out: those of its scenario (fleet.nodes)."""


class MixedFleet(Closed):
    """A fleet of several pools, over which the requests of one trace are routed."""

    name: str
    """Short name."""
    description: str
    """One line on what it describes."""
    split: Literal["cheapest", "proportional"] = "cheapest"
    """How requests are routed in every interval: at the least cost within the nodes of the pools, or over all pools in
    proportion to what each could carry."""
    pool: tuple[FleetPool, ...]
    """The pools, at least two; the trace is that of the first one's scenario."""

    @model_validator(mode="after")
    def _several(self) -> Self:
        if len(self.pool) < 2:
            raise ValueError("a mixed fleet has at least two pools; add a [[pool]]")
        names = [pool.name for pool in self.pool]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"pool {', '.join(twice)} is given more than once; give every pool its own name")
        return self
