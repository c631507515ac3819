"""slo: the smallest fleet whose modelled latencies meet the targets. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy.base import Seen, Sight, Tick
from planner.core.policy.common import floor_of, known_early
from planner.settings.policy import PolicySettings

Meets = Callable[[Units, Seen, int], bool]
"""Whether units with a demand, in tokens per so many seconds, are modelled to meet the latency targets."""


@dataclass(frozen=True, kw_only=True)
class Slo:
    """The fewest scaling steps, not under the floor, that carry the visible demand of the interval and meet the
    latency targets as modelled. Keeps the full fleet where nothing can be seen, or no number of steps is enough.

    meets: monotonic, true of more units where it is true of fewer.
    """

    deployment: Deployment
    meets: Meets
    floor_step: int
    ahead: bool
    notes: tuple[str, ...]
    name: str = "slo"
    sight: Sight = Sight.SOURCE
    lead_s: int = 0

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment, meets: Meets) -> "Slo":
        floor_step, notes = floor_of(settings, deployment)
        return cls(deployment=deployment, meets=meets, floor_step=floor_step, ahead=known_early(settings), notes=notes)

    def decide(self, tick: Tick) -> Units:
        if not tick.coming:
            return self.deployment.full
        seen = tick.coming[0]

        def enough(units: Units) -> bool:
            carried = self.deployment.covers(units, seen.input_tokens, seen.output_tokens, tick.interval_s)
            return carried and self.meets(units, seen, tick.interval_s)

        return self.deployment.fewest(enough, self.floor_step)
