"""predictive: the fewest scaling steps for the largest demand foreseen until new units serve. Pure."""

from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy.base import Sight, Tick, largest
from planner.core.policy.common import floor_of, known_early
from planner.settings.policy import PolicySettings


@dataclass(frozen=True, kw_only=True)
class Predictive:
    """The fewest steps, not under the floor, whose capacity times the target utilisation covers the largest demand of
    this interval and of those that the lead reaches: units requested now have started by then.

    A forecast gives a quantile, so headroom is included in what is seen. Keeps the full fleet where nothing can be
    seen, or no number of steps is enough.
    """

    deployment: Deployment
    target_utilisation: float
    floor_step: int
    lead_s: int
    ahead: bool
    notes: tuple[str, ...]
    name: str = "predictive"
    sight: Sight = Sight.SOURCE

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment) -> "Predictive":
        floor_step, notes = floor_of(settings, deployment)
        lead_s = deployment.settings.start_up_s + settings.lead_s
        return cls(
            deployment=deployment,
            target_utilisation=settings.target_utilisation,
            floor_step=floor_step,
            lead_s=lead_s,
            ahead=known_early(settings),
            notes=notes,
        )

    def decide(self, tick: Tick) -> Units:
        if not tick.coming:
            return self.deployment.full
        seen, usable_s = largest(tick.coming), tick.interval_s * self.target_utilisation
        return self.deployment.fewest_covering(seen.input_tokens, seen.output_tokens, usable_s, self.floor_step)
