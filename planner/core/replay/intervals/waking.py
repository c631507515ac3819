"""A service that may sleep wakes for its requests: intervals in which a policy holds no unit that they need. Pure.

Requests that come while no unit serves wake the service: its units are there from the beginning of the interval, start
up in it, and what came waits for them. Units that are awake go on until an interval has passed without demand, and
those that were woken also until they have served as long as an interval, even from cold, so that whatever came is
served. Each role wakes by its own tokens, to the units that one scaling step has of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import AGGREGATED, Units

SleepState = Literal["asleep", "woken", "kept awake", "awake"]
"""asleep: no unit is held. woken: raised, as requests came. kept awake: raised, as what came before was not done."""


@dataclass(frozen=True)
class Awake:
    """Targets with the units that requests need. states: of every interval; None where the service never sleeps."""

    targets: list[Units]
    states: list[SleepState] | None


def awake(targets: Sequence[Units], demand: Demand, deployment: Deployment) -> Awake:
    """Raise every target that lacks a role which requests need, within the nodes of the fleet."""
    if all(target.of(role) for target in targets for role in deployment.role_names):
        return Awake(list(targets), None)
    needed = [
        _needed([target.of(role) for target in targets], _asked(demand, role), _wait(deployment, demand))
        for role in deployment.role_names
    ]
    raised: list[Units] = []
    states: list[SleepState] = []
    for index, target in enumerate(targets):
        missing = [role for role, needs in zip(deployment.role_names, needed, strict=True) if needs[index]]
        least = Units.by_role(lambda role: deployment.step.of(role), tuple(missing))
        raised.append(_within(target + least, least, deployment) if missing else target)
        if missing:
            states.append("woken" if any(_asked(demand, role)[index] for role in missing) else "kept awake")
        else:
            states.append("awake" if any(target.of(role) for role in deployment.role_names) else "asleep")
    return Awake(raised, states)


def _needed(held: Sequence[int], asked: Sequence[bool], wait: int) -> list[bool]:
    """In which intervals a role is held by none though requests need it. wait: intervals until woken units serve."""
    needed: list[bool] = []
    until = -1
    for index, (units, asks) in enumerate(zip(held, asked, strict=True)):
        if asks:
            sleeping = index > 0 and not held[index - 1] and not needed[index - 1]
            until = max(until, index + 1 + (wait if sleeping else 0))
        needed.append(not units and index <= until)
    return needed


def _asked(demand: Demand, role: str) -> list[bool]:
    """In which intervals there are tokens for a role."""
    tokens = {"prefill": demand.input_tokens, "decode": demand.output_tokens}
    asked = tokens[role] if role != AGGREGATED else demand.input_tokens + demand.output_tokens
    return [bool(amount) for amount in asked]


def _wait(deployment: Deployment, demand: Demand) -> int:
    """Whole intervals that pass until a unit that starts cold serves."""
    return deployment.settings.start_up_s // demand.grid.interval_s


def _within(wanted: Units, least: Units, deployment: Deployment) -> Units:
    """What is wanted, or as much of it as the nodes hold beside the units that are missing."""
    if deployment.aggregated:
        return wanted
    return deployment.shared(wanted, least, deployment.settings.nodes)
