"""night-training: the full fleet in a day window, and at other times the fewest units that carry the demand. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from planner.fleet.deployment import Deployment, Units
from planner.policy.base import Tick
from planner.scenario.models import DayWindow, PolicySettings


@dataclass(frozen=True)
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
    uses_demand: bool = True

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment) -> "NightTraining":
        floor_step = deployment.step_of_nodes(settings.floor_nodes)
        floor = deployment.nodes(deployment.ladder[floor_step])
        notes = []
        if floor != settings.floor_nodes:
            turned = "rounded up" if floor > settings.floor_nodes else "cut"
            notes.append(
                f"floor of {settings.floor_nodes} nodes {turned} to {floor}: the base units plus whole scaling steps"
            )
        return cls(
            deployment,
            settings.window,
            settings.target_utilisation,
            floor_step,
            ahead=settings.demand_source != "previous",
            notes=tuple(notes),
        )

    def decide(self, tick: Tick) -> Units:
        if tick.seen is None or self._by_day(tick):
            return self.deployment.full
        usable_s = tick.interval_s * self.target_utilisation
        for units in self.deployment.ladder[self.floor_step :]:
            if self.deployment.covers(units, tick.seen.input_tokens, tick.seen.output_tokens, usable_s):
                return units
        return self.deployment.full

    def _by_day(self, tick: Tick) -> bool:
        """Whether any minute of the interval lies in the day window."""
        minutes = range(tick.interval_s // 60)
        return any(self.window.holds((tick.start + timedelta(minutes=minute)).time()) for minute in minutes)
