"""Units that do both in a stored plan, and how they share nodes."""

from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.runs.read import RunView


@dataclass(frozen=True)
class HeldUnits:
    """Units that inference holds: most, and mean over intervals. packing: how they share nodes, or empty."""

    peak: int
    mean: float
    packing: str

    @property
    def text(self) -> str:
        """All of it on a line."""
        return f"peak {self.peak:,}, mean {self.mean:,.2f}{f'; {self.packing}' if self.packing else ''}"


def held_units(run: RunView) -> HeldUnits | None:
    """The units of a plan; None where units read prompts or decode, but not both."""
    deployment = Deployment(run.scenario.fleet)
    if not deployment.aggregated:
        return None
    units, shared = run.intervals["aggregated_units"].to_numpy(), deployment.units_per_node
    packing = f"{shared} share a node, which is held while any unit has a part of it" if shared > 1 else ""
    return HeldUnits(int(units.max()), float(units.mean()), packing)
