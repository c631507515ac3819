"""Tokens that units carry in every interval of a plan. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import AGGREGATED, Units
from planner.core.replay.intervals.lifetimes import Life
from planner.units import Floats, Ints


@dataclass(frozen=True)
class Carried:
    """Input tokens (cache hits included) and output tokens, (count,) each."""

    input_tokens: Ints
    output_tokens: Ints


def carried_by_targets(targets: Sequence[Units], deployment: Deployment, demand: Demand) -> Carried:
    """What the units of the targets carry, were they to serve throughout."""
    interval_s = demand.grid.interval_s
    return _carried({role: _held(targets, role) * interval_s for role in deployment.role_names}, deployment, demand)


def carried_by_service(lives: Sequence[Life], deployment: Deployment, demand: Demand) -> Carried:
    """What units carry in the time in which they serve."""
    unit_s = {role: np.zeros(demand.grid.count, np.int64) for role in deployment.role_names}
    for life in lives:
        spread(unit_s[life.role], life.ready_s, life.drain_s, life.units, demand.grid.interval_s)
    return _carried(unit_s, deployment, demand)


def _carried(unit_s: dict[str, Ints], deployment: Deployment, demand: Demand) -> Carried:
    """By the seconds of units of each role in every interval."""
    fleet = deployment.settings
    if not deployment.aggregated:
        return Carried(
            _tokens(unit_s["prefill"] * fleet.prefill.nodes, fleet.prefill.node_tokens_per_s),
            _tokens(unit_s["decode"] * fleet.decode.nodes, fleet.decode.node_tokens_per_s),
        )
    inputs, outputs = mixes(demand, deployment)
    # as much of both kinds as the mix of the interval lets them carry
    share = unit_s[AGGREGATED] / deployment.units_needed(inputs, outputs, 1.0)
    return Carried(_tokens(share, inputs), _tokens(share, outputs))


def mixes(demand: Demand, deployment: Deployment) -> tuple[Floats, Floats]:
    """Tokens in the mix of every interval: those of its demand; without any those of the whole demand.

    Where nothing is demanded at all, a pair in the middle of what a unit carries.
    """
    inputs, outputs = demand.input_tokens.astype(np.float64), demand.output_tokens.astype(np.float64)
    all_inputs, all_outputs = inputs.sum(), outputs.sum()
    if all_inputs + all_outputs == 0:
        pairs = deployment.region.pairs
        all_inputs, all_outputs = pairs[len(pairs) // 2]
    silent = inputs + outputs == 0
    return np.where(silent, all_inputs, inputs), np.where(silent, all_outputs, outputs)


def _held(targets: Sequence[Units], role: str) -> Ints:
    return np.array([target.of(role) for target in targets], np.int64)


def _tokens(amount: Ints | Floats, each: float | Floats) -> Ints:
    """Whole tokens."""
    whole: Ints = np.floor(amount * each).astype(np.int64)
    return whole


def spread(into: Ints, start_s: int, end_s: int, amount: int, interval_s: int) -> None:
    """Add the seconds of [start_s, end_s), times an amount, to the intervals they fall in."""
    if end_s <= start_s:
        return
    first, last = start_s // interval_s, (end_s - 1) // interval_s
    into[first : last + 1] += amount * interval_s
    into[first] -= amount * (start_s - first * interval_s)
    into[last] -= amount * ((last + 1) * interval_s - end_s)
