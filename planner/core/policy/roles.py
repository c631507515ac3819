"""A policy for each role: what each decides by its own demand, put together within the fleet's nodes. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import ROLES, Units
from planner.core.policy.base import PastTargets, Policy, Sight, Tick

NOTE = "prefill and decode scale apart, each by its own demand (fleet.scaling)"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The same policy once for each role, which sees the demand and the past of that role alone.

    Where both together want more nodes than the fleet has, each gets the same share of what it wants, and not less than
    the floor: `planner.core.fleet.sharing`.
    """

    by_role: dict[str, Policy]
    deployment: Deployment
    floor: Units

    @classmethod
    def of(cls, make: Callable[[Deployment], Policy], deployment: Deployment, floor_nodes: int) -> "Roles":
        """make: the policy on a role's own deployment."""
        return cls(
            by_role={role: make(deployment.roles[role]) for role in ROLES},
            deployment=deployment,
            floor=deployment.floor(floor_nodes),
        )

    @property
    def name(self) -> str:
        return self._either.name

    @property
    def ahead(self) -> bool:
        return self._either.ahead

    @property
    def sight(self) -> Sight:
        return self._either.sight

    @property
    def lead_s(self) -> int:
        return self._either.lead_s

    @property
    def notes(self) -> tuple[str, ...]:
        return (NOTE, *self._either.notes)

    @property
    def _either(self) -> Policy:
        """The policy of a role, where both are alike."""
        return self.by_role["prefill"]

    def decide(self, tick: Tick) -> Units:
        prefill, decode = (self.by_role[role].decide(_only(tick, role)) for role in ROLES)
        wanted = Units(prefill.prefill, decode.decode)
        return self.deployment.shared(wanted, self.floor, self.deployment.settings.nodes)


def _only(tick: Tick, role: str) -> Tick:
    """What a tick shows of one role."""
    return replace(
        tick,
        observed=tick.observed.only(role) if tick.observed else None,
        coming=tuple(seen.only(role) for seen in tick.coming),
        past=PastTargets(tick.past, len(tick.past), role=role),
    )
