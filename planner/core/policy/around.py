"""Rules around any policy: minimum times, ramp limit, survivors, spare units. Pure.

Each rule is a policy with a policy inside. `around` applies them from the inside out: survivors, minimum times, ramp,
spare units. To all but the last, keeping the current units is always allowed, so on whole scaling steps their
order does not matter. Spare units are on top of everything and count for none of the other rules. Where each role
scales by its own demand, one that keeps units may leave no room for what the other adds: then that waits (`Fitted`).
"""

from dataclasses import dataclass, replace

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import EVERY_ROLE, Units
from planner.core.policy.base import PastTargets, Policy, Sight, Tick, changes_within, largest
from planner.errors import UsageError
from planner.settings.policy import PolicySettings
from planner.units import counted


@dataclass(frozen=True)
class Around:
    """A policy inside another; by itself it changes nothing."""

    inner: Policy

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def ahead(self) -> bool:
        return self.inner.ahead

    @property
    def sight(self) -> Sight:
        return self.inner.sight

    @property
    def lead_s(self) -> int:
        return self.inner.lead_s

    @property
    def notes(self) -> tuple[str, ...]:
        return self.inner.notes

    def decide(self, tick: Tick) -> Units:
        return self.inner.decide(tick)


@dataclass(frozen=True)
class MinimumTimes(Around):
    """A role gives no units up until those that joined last have been there for up_s, and gets none until those that
    left last have been away for down_s. The newest leave first, and nodes that left last are called back first.
    """

    up_s: int
    down_s: int

    def decide(self, tick: Tick) -> Units:
        wanted = self.inner.decide(tick)
        if not tick.past:
            return wanted
        held = tick.past[-1]
        joined = list(changes_within(tick, self.up_s))
        left = list(changes_within(tick, self.down_s))

        def kept(role: str) -> int:
            want, have = wanted.of(role), held.of(role)
            if want < have and any(after.of(role) > before.of(role) for before, after in joined):
                return have
            if want > have and any(after.of(role) < before.of(role) for before, after in left):
                return have
            return want

        return Units.by_role(kept, EVERY_ROLE)


@dataclass(frozen=True)
class Ramp(Around):
    """Each role changes by at most so many units at a boundary."""

    most: Units

    @classmethod
    def of(cls, inner: Policy, nodes: int, deployment: Deployment) -> "Ramp":
        """A ramp in nodes, as whole scaling steps, of each role where they scale apart; a role that no step holds keeps
        its units. Raises UsageError."""
        most = {}
        for role in deployment.role_names:
            scaled, what = (
                (deployment.roles[role], f"{role} step") if deployment.apart else (deployment, "scaling step")
            )
            if scaled.step_nodes > nodes:
                raise UsageError(
                    f"policy.ramp_nodes is {nodes} and a {what} has {counted(scaled.step_nodes, 'node')}, so nothing "
                    "could ever change; raise it to at least a step, or leave it out"
                )
            most[role] = scaled.steps_in(nodes) * deployment.step.of(role) if scaled.step_nodes else 0
        return cls(inner, Units(**most))

    def decide(self, tick: Tick) -> Units:
        wanted = self.inner.decide(tick)
        if not tick.past:
            return wanted
        held, most = tick.past[-1], self.most
        return wanted.at_least(held - most).at_most(held + most)


@dataclass(frozen=True)
class Survivors(Around):
    """When units leave, those that stay carry the observed and the visible demand at most at a utilisation.

    The observed demand counts whole: the part on leaving units finishes there while they drain, or is handed over to
    those that stay. If they could not carry it, scaling steps are kept until they can. Since this is
    known only at the boundary, units drain after it.
    """

    deployment: Deployment
    utilisation: float

    @property
    def ahead(self) -> bool:
        return False

    @property
    def sight(self) -> Sight:
        return max(self.inner.sight, Sight.OBSERVED)

    def decide(self, tick: Tick) -> Units:
        wanted = self.inner.decide(tick)
        if not tick.past:
            return wanted
        held = tick.past[-1]
        demands = [*([] if tick.observed is None else [tick.observed]), *tick.coming]
        if wanted.holds(held) or not demands:
            return wanted
        load, usable_s = largest(demands), tick.interval_s * self.utilisation
        if self.deployment.covers(wanted, load.input_tokens, load.output_tokens, usable_s):
            return wanted
        fewest = self.deployment.fewest_of_each if self.deployment.apart else self.deployment.fewest_covering
        needed = fewest(load.input_tokens, load.output_tokens, usable_s)
        return wanted.at_least(held.at_most(needed))


@dataclass(frozen=True)
class Fitted(Around):
    """Both roles within the nodes: units that are held and still wanted stay, and what joins shares what is left."""

    deployment: Deployment

    def decide(self, tick: Tick) -> Units:
        wanted = self.inner.decide(tick)
        if not tick.past:
            return wanted
        return self.deployment.shared(wanted, tick.past[-1], self.deployment.settings.nodes)


@dataclass(frozen=True)
class SpareUnits(Around):
    """Units on top of what the inner policy wants, so that as many may fail. It scales in what is left of the fleet."""

    spare: Units

    def decide(self, tick: Tick) -> Units:
        spare = self.spare
        wanted = self.inner.decide(replace(tick, past=PastTargets(tick.past, len(tick.past), less=spare)))
        return wanted + spare


def without_spare(settings: PolicySettings, deployment: Deployment) -> Deployment:
    """What a policy may scale in: the fleet without the nodes of spare units. Raises UsageError where none are left."""
    spare = deployment.nodes(_spare(settings, deployment.role_names))
    left = deployment.settings.nodes - spare
    base = deployment.nodes(deployment.least)
    least, what = (base, "the base units need") if base else (deployment.step_nodes, "a scaling step needs")
    if left < least:
        names = " or ".join(f"policy.spare_{role}_units" for role in deployment.role_names)
        raise UsageError(
            f"spare units take {spare} of {counted(deployment.settings.nodes, 'node')} and {what} {least}; lower "
            f"{names}"
        )
    return Deployment(deployment.settings.model_copy(update={"nodes": left})) if spare else deployment


def around(policy: Policy, settings: PolicySettings, deployment: Deployment) -> Policy:
    """The policy with the rules that the settings ask for. deployment: without spare units. Raises UsageError."""
    plain = policy
    if settings.survivor_utilisation is not None:
        policy = Survivors(policy, deployment, settings.survivor_utilisation)
    if settings.min_up_s or settings.min_down_s:
        policy = MinimumTimes(policy, settings.min_up_s, settings.min_down_s)
    if settings.ramp_nodes is not None:
        policy = Ramp.of(policy, settings.ramp_nodes, deployment)
    if deployment.apart and policy is not plain:
        policy = Fitted(policy, deployment)
    spare = _spare(settings, deployment.role_names)
    return SpareUnits(policy, spare) if deployment.nodes(spare) else policy


def _spare(settings: PolicySettings, roles: tuple[str, ...]) -> Units:
    return Units.by_role(lambda role: int(getattr(settings, f"spare_{role}_units")), roles)
