"""A small fleet of units that do both, to compute by hand."""

from planner.settings.scenario import Scenario
from tests.conftest import small_scenario

AGGREGATED = (
    "fleet.serving=aggregated",
    "fleet.gpus_per_node=8",
    "fleet.unit.gpus=4",
    "fleet.unit.tokens_per_s=[[0,20],[10,10],[20,0]]",
    "fleet.base.aggregated=1",
    "fleet.step.aggregated=1",
    "fleet.nodes=4",
    "policy.floor_nodes=0",
)
"""Four nodes of two units. A unit carries 20 tokens a second of any mix, 1,200 a minute; it loads for 10 s and drains
for 5."""


def aggregated_scenario(*overrides: str) -> Scenario:
    """The small fleet of units that do both, with further fields set."""
    return small_scenario(*AGGREGATED, *overrides)
