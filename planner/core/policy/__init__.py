"""Policies, one file each. A new one is a file with a class and a line in `_plain`."""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy.around import around, without_spare
from planner.core.policy.base import PastTargets, Policy, Seen, Sight, Tick, decide_all, lead_intervals
from planner.core.policy.fixed import Fixed
from planner.core.policy.night_training import NightTraining
from planner.core.policy.oracle import KnownDemand, Oracle
from planner.core.policy.predictive import Predictive
from planner.core.policy.reactive import Reactive
from planner.core.policy.roles import Roles
from planner.core.policy.scheduled_bounds import ScheduledBounds
from planner.core.policy.slo import Meets, Slo
from planner.core.policy.timetable import Entry, Timetable
from planner.errors import UsageError
from planner.settings.policy import PolicySettings

POLICIES = ("night-training", "fixed", "timetable", "reactive", "predictive", "scheduled-bounds", "slo", "oracle")

__all__ = [
    "POLICIES",
    "Entry",
    "KnownDemand",
    "PastTargets",
    "Policy",
    "PolicyInputs",
    "Seen",
    "Sight",
    "Tick",
    "Timetable",
    "Units",
    "decide_all",
    "keeps_bundle",
    "lead_intervals",
    "make_policy",
    "policies_in",
]


@dataclass(frozen=True)
class PolicyInputs:
    """What some policies need besides their settings: a timetable, a model of latencies, a whole demand."""

    timetable: Sequence[Entry] = ()
    timetable_notes: tuple[str, ...] = ()
    meets: Meets | None = None
    known: KnownDemand | None = None


def policies_in(settings: PolicySettings) -> tuple[str, ...]:
    """The policy that the settings name, and the one inside it."""
    return (settings.name, settings.inside) if settings.name == "scheduled-bounds" else (settings.name,)


def keeps_bundle(settings: PolicySettings) -> bool:
    """Whether the policy scales both roles in a bundle, whatever fleet.scaling says."""
    return settings.night_bundle and "night-training" in policies_in(settings)


def make_policy(settings: PolicySettings, deployment: Deployment, given: PolicyInputs = PolicyInputs()) -> Policy:
    """The policy that the settings name, with the rules around it. Raises UsageError.

    given: required for slo and oracle. night-training keeps the bundle unless it is told not to, and so do the rules
    around it.
    """
    scaled = without_spare(settings, deployment.bundle if keeps_bundle(settings) else deployment)
    return around(_plain(settings.name, settings, scaled, given), settings, scaled)


def _plain(name: str, settings: PolicySettings, deployment: Deployment, given: PolicyInputs) -> Policy:
    match name:
        case "fixed":
            return Fixed.of(settings, deployment)
        case "timetable":
            return Timetable.of(given.timetable, deployment, given.timetable_notes)
        case "scheduled-bounds":
            if settings.inside == name:
                raise UsageError(f"policy.inside is {name} itself; name the policy that decides inside the bounds")
            return ScheduledBounds.of(settings, deployment, _plain(settings.inside, settings, deployment, given))
        case "oracle":
            assert given.known is not None, "the oracle needs the demand that it knows"
            return Oracle.of(settings, deployment, given.known)
        case "night-training" | "reactive" | "predictive" | "slo":
            if deployment.apart:
                return Roles.of(lambda own: _by_demand(name, settings, own, given), deployment, settings.floor_nodes)
            return _by_demand(name, settings, deployment, given)
    field = "policy.name" if name == settings.name else "policy.inside"
    base, at, source = name.partition("@")
    if at and base in POLICIES:
        option = f"--policy {base}" if field == "policy.name" else f"--set {field}={base}"
        raise UsageError(
            f'{field}: "{name}" is what `planner compare` calls {base} that sees {source}; give {option} '
            f"--set policy.demand_source={source}"
        )
    raise UsageError(f'{field}: no policy "{name}"; use one of {", ".join(POLICIES)}')


def _by_demand(name: str, settings: PolicySettings, deployment: Deployment, given: PolicyInputs) -> Policy:
    """A policy that takes steps of its deployment by demand: of both roles in a bundle, or of one."""
    match name:
        case "night-training":
            return NightTraining.of(settings, deployment)
        case "reactive":
            return Reactive.of(settings, deployment)
        case "predictive":
            return Predictive.of(settings, deployment)
    assert given.meets is not None, "the slo policy needs a model of latencies"
    return Slo.of(settings, deployment, given.meets)
