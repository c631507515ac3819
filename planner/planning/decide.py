"""Decides the units of every interval from what is prepared, and replays them; nothing is priced."""

from dataclasses import dataclass

from planner.core.fleet.deployment import Deployment
from planner.core.policy import KnownDemand, Policy, PolicyInputs, decide_all, make_policy
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.planning.foresight import Visible, known_demand, seen_before, visible
from planner.planning.prepare import Prepared


@dataclass(frozen=True)
class Decided:
    """What a policy decided by what it saw, and what becomes of it."""

    policy: Policy
    plan: IntervalPlan
    seen: Visible


def decide(prepared: Prepared, seen: Visible | None = None) -> Decided:
    """Ask the policy interval by interval, and replay its targets. Raises UsageError, RunError.

    seen: what the policy sees of the demand to come, where it is known already.
    """
    scenario, demand, limits = prepared.scenario, prepared.demand, prepared.limits
    deployment, grid = Deployment(scenario.fleet), demand.grid
    actual = known_demand(demand)
    given = PolicyInputs(
        timetable=prepared.timetable,
        timetable_notes=prepared.timetable_notes,
        meets=limits.meets if limits else None,
        known=KnownDemand(actual, grid.interval_s),
    )
    policy = make_policy(scenario.policy, deployment, given)
    seen = seen or visible(scenario, policy, prepared.trace, demand, expected=prepared.expected)
    targets = decide_all(policy, grid.local_starts(scenario.zone), grid.interval_s, seen_before(actual), seen.coming)
    floor = deployment.floor(scenario.policy.floor_nodes)
    plan = replay_intervals(targets, demand, deployment, scenario.training, ahead=policy.ahead, floor=floor)
    return Decided(policy, plan, seen)
