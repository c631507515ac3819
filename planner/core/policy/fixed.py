"""fixed: the same units at all times. Pure."""

from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy.base import Sight, Tick
from planner.settings.policy import PolicySettings


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """Holds the same units always; by default the full fleet."""

    units: Units
    name: str = "fixed"
    ahead: bool = True
    sight: Sight = Sight.NOTHING
    lead_s: int = 0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment) -> "Fixed":
        full = deployment.full

        def fixed(role: str) -> int:
            return int(getattr(settings, f"fixed_{role}_units") or full.of(role))

        return cls(units=Units.by_role(fixed, deployment.role_names))

    def decide(self, tick: Tick) -> Units:  # noqa: ARG002  the interface gives every policy the tick
        return self.units
