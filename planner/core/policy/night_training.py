"""night-training: the full fleet in a day window, and at other times the fewest units that carry the demand. Pure."""

from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy.base import Sight, Tick
from planner.core.policy.common import floor_of, known_early, touches
from planner.settings.closed import DayWindow
from planner.settings.policy import PolicySettings


@dataclass(frozen=True, kw_only=True)
class NightTraining:
    """Keeps the full fleet in the day window; outside it the fewest scaling steps, not under the floor, whose
    capacity times the target utilisation covers the visible demand in both roles.

    Where nothing can be seen, or no number of steps is enough, it keeps the full fleet.
    """

    deployment: Deployment
    window: DayWindow
    target_utilisation: float
    floor_step: int
    ahead: bool
    notes: tuple[str, ...]
    name: str = "night-training"
    sight: Sight = Sight.SOURCE
    lead_s: int = 0

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment) -> "NightTraining":
        floor_step, notes = floor_of(settings, deployment)
        return cls(
            deployment=deployment,
            window=settings.window,
            target_utilisation=settings.target_utilisation,
            floor_step=floor_step,
            ahead=known_early(settings),
            notes=notes,
        )

    def decide(self, tick: Tick) -> Units:
        if not tick.coming or touches(self.window, tick):
            return self.deployment.full
        seen, usable_s = tick.coming[0], tick.interval_s * self.target_utilisation
        return self.deployment.fewest_covering(seen.input_tokens, seen.output_tokens, usable_s, self.floor_step)
