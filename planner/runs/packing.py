"""Units that do both in a stored plan, and how they share nodes, in words."""

from planner.core.fleet.deployment import Deployment
from planner.runs.read import RunView


def units_told(run: RunView) -> str:
    """How many units a plan holds, and what shares a node; empty where units read prompts or decode, but not both."""
    deployment = Deployment(run.scenario.fleet)
    if not deployment.aggregated:
        return ""
    units = run.intervals["aggregated_units"].to_numpy()
    return f"peak {units.max():,}, mean {units.mean():,.2f}{packing(run)}"


def packing(run: RunView) -> str:
    """How units share nodes, after a semicolon; empty where each has whole nodes."""
    shared = Deployment(run.scenario.fleet).units_per_node
    return f"; {shared} share a node, which is held while any unit has a part of it" if shared > 1 else ""
