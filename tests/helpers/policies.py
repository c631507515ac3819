"""Policies of the small fleet, and what they decide for a demand."""

from datetime import UTC, datetime, timedelta
from functools import cache

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy import (
    POLICIES,
    KnownDemand,
    Policy,
    PolicyInputs,
    Seen,
    Sight,
    decide_all,
    lead_intervals,
    make_policy,
)
from planner.settings.scenario import Scenario
from tests.conftest import small_scenario

MIDNIGHT = datetime(2025, 3, 1, tzinfo=UTC)
"""A Saturday."""
FILELESS = [name for name in POLICIES if name != "timetable"]
"""Those that need no file."""

small = cache(small_scenario)


def policy_for(scenario: Scenario, demand: list[Seen]) -> Policy:
    """The scenario's policy; latencies are met where units are used to half."""
    deployment = Deployment(scenario.fleet)

    def meets(units: Units, seen: Seen, seconds: int) -> bool:
        return deployment.covers(units, seen.input_tokens, seen.output_tokens, seconds / 2)

    return make_policy(
        scenario.policy, deployment, PolicyInputs(meets=meets, known=KnownDemand(demand, scenario.interval_s))
    )


def targets_of(demand: list[tuple[float, float]], *overrides: str, start: datetime = MIDNIGHT) -> list[Units]:
    """Targets of the small fleet's policy where the demand source is the trace, or the interval before."""
    scenario = small(*overrides)
    known = [Seen(*pair) for pair in demand]
    policy = policy_for(scenario, known)
    lead = lead_intervals(policy, scenario.interval_s)
    coming = [tuple(known[index : index + lead]) for index in range(len(known))]
    if scenario.policy.demand_source == "previous":
        coming = [(), *((before,) * lead for before in known)][: len(known)]
    if policy.sight < Sight.SOURCE:
        coming = [()] * len(known)
    starts = [start + timedelta(seconds=scenario.interval_s * index) for index in range(len(known))]
    return decide_all(policy, starts, scenario.interval_s, [None, *known][: len(known)], coming)


def decided(demand: list[tuple[float, float]], *overrides: str, start: datetime = MIDNIGHT) -> list[tuple[int, int]]:
    return [(units.prefill, units.decode) for units in targets_of(demand, *overrides, start=start)]


def steps(demand: list[float], *overrides: str, start: datetime = MIDNIGHT) -> list[int]:
    """Steps of the small fleet, from 1 to 4; the demand in steps fully used."""
    return [units.decode for units in targets_of([(600 * d, 600 * d) for d in demand], *overrides, start=start)]
