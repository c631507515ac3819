"""reactive: a target utilisation for the demand observed in the interval before, as autoscalers do. Pure."""

from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy.base import Sight, Tick, changes_within
from planner.core.policy.common import floor_of
from planner.settings.policy import PolicySettings


@dataclass(frozen=True, kw_only=True)
class Reactive:
    """Adds scaling steps when the observed demand is above the target utilisation of the current units: the fewest that
    bring it back. Gives steps up as far as those that stay are used below the target less the tolerance.

    So with any load that moves by less than the tolerance it does not go back and forth. Nothing is given up within
    the cooldown of any change, nothing added within that of adding. Keeps the full fleet where nothing was observed;
    where nothing is held yet, it begins with the fewest steps for what was.
    """

    deployment: Deployment
    target_utilisation: float
    tolerance: float
    up_cooldown_s: int
    down_cooldown_s: int
    most_steps_up: int | None
    most_steps_down: int | None
    floor_step: int
    notes: tuple[str, ...]
    name: str = "reactive"
    ahead: bool = False
    sight: Sight = Sight.OBSERVED
    lead_s: int = 0

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment) -> "Reactive":
        floor_step, notes = floor_of(settings, deployment)
        return cls(
            deployment=deployment,
            target_utilisation=settings.target_utilisation,
            tolerance=settings.tolerance,
            up_cooldown_s=settings.up_cooldown_s,
            down_cooldown_s=settings.down_cooldown_s,
            most_steps_up=settings.most_steps_up,
            most_steps_down=settings.most_steps_down,
            floor_step=floor_step,
            notes=notes,
        )

    def decide(self, tick: Tick) -> Units:
        ladder = self.deployment.ladder
        if tick.observed is None:
            return self.deployment.full
        if not tick.past:
            return ladder[self._steps_for(tick, self.target_utilisation)]
        held = self.deployment.step_within(tick.past[-1])
        least = self._steps_for(tick, self.target_utilisation)
        if least > held:
            if any(adds_units(*change) for change in changes_within(tick, self.up_cooldown_s)):
                return ladder[held]
            return ladder[least if self.most_steps_up is None else min(least, held + self.most_steps_up)]
        most = self._steps_for(tick, self.target_utilisation * (1 - self.tolerance))
        if most >= held or any(before != after for before, after in changes_within(tick, self.down_cooldown_s)):
            return ladder[held]
        return ladder[most if self.most_steps_down is None else max(most, held - self.most_steps_down)]

    def _steps_for(self, tick: Tick, utilisation: float) -> int:
        """The fewest steps that carry the observed demand at a utilisation, or as many as there are."""
        assert tick.observed is not None
        usable_s = tick.interval_s * utilisation
        seen = tick.observed
        covering = self.deployment.fewest_covering(seen.input_tokens, seen.output_tokens, usable_s, self.floor_step)
        return self.deployment.step_within(covering)


def adds_units(before: Units, after: Units) -> bool:
    """Whether units of any role were added."""
    return not before.holds(after)
