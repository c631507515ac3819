"""Policies, one file each. A new one is a file with a class and a line in `make_policy`."""

from collections.abc import Sequence

from planner.errors import UsageError
from planner.fleet.deployment import Deployment
from planner.policy.base import Policy, Seen, Tick, decide_all
from planner.policy.fixed import Fixed
from planner.policy.night_training import NightTraining
from planner.policy.timetable import Entry, Timetable
from planner.scenario.models import PolicySettings

POLICIES = ("night-training", "fixed", "timetable")

__all__ = ["POLICIES", "Entry", "Policy", "Seen", "Tick", "Timetable", "decide_all", "make_policy"]


def make_policy(settings: PolicySettings, deployment: Deployment, timetable: Sequence[Entry] = ()) -> Policy:
    """The policy that the settings name. timetable: its entries, for the timetable policy. Raises UsageError."""
    if settings.name == "night-training":
        return NightTraining.of(settings, deployment)
    if settings.name == "fixed":
        return Fixed.of(settings, deployment)
    if settings.name == "timetable":
        return Timetable.of(timetable, deployment)
    raise UsageError(f'policy.name: no policy "{settings.name}"; use one of {", ".join(POLICIES)}')
