"""Interval replay: targets become a timeline of nodes by state, with capacity and shortfall. Pure.

Every node-second of the fleet is serving, starting, draining, training, restoring or idle, and is counted once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.fleet.deployment import ROLES, Deployment, Units
from planner.core.replay.intervals.lending import LentWindow, lend, steps_of
from planner.core.replay.intervals.lifetimes import Life, Timing, unit_lives
from planner.settings.training import TrainingSettings
from planner.units import Ints


@dataclass(frozen=True, kw_only=True)
class IntervalPlan:
    """The planned fleet, arrays (grid.count,), named as the columns of the table plan_interval.

    floored: intervals whose target was raised to the floor. lives and windows hold the same plan by unit and by
    lent node.
    """

    grid: Grid
    prefill_units: Ints
    decode_units: Ints
    inference_nodes: Ints
    training_nodes: Ints
    serving_node_s: Ints
    starting_node_s: Ints
    draining_node_s: Ints
    training_node_s: Ints
    restoring_node_s: Ints
    idle_node_s: Ints
    prefill_capacity_tokens: Ints
    decode_capacity_tokens: Ints
    prefill_serving_tokens: Ints
    decode_serving_tokens: Ints
    steady_shortfall_input_tokens: Ints
    steady_shortfall_output_tokens: Ints
    start_up_shortfall_input_tokens: Ints
    start_up_shortfall_output_tokens: Ints
    floored: int
    lives: tuple[Life, ...]
    windows: tuple[LentWindow, ...]

    @property
    def units(self) -> list[Units]:
        """Units that serve, start or drain in every interval: its target, raised to the floor."""
        pairs = zip(self.prefill_units.tolist(), self.decode_units.tolist(), strict=True)
        return [Units(prefill, decode) for prefill, decode in pairs]

    @property
    def inference_node_s(self) -> Ints:
        """Node-seconds that inference holds, and that cost: serving, starting and draining."""
        return self.serving_node_s + self.starting_node_s + self.draining_node_s

    @property
    def lent_node_s(self) -> Ints:
        """Node-seconds lent to training: useful, and restoring."""
        return self.training_node_s + self.restoring_node_s

    @property
    def shortfall_input_tokens(self) -> Ints:
        """Input tokens beyond the capacity, steady and while units start."""
        return self.steady_shortfall_input_tokens + self.start_up_shortfall_input_tokens

    @property
    def shortfall_output_tokens(self) -> Ints:
        """Output tokens beyond the capacity, steady and while units start."""
        return self.steady_shortfall_output_tokens + self.start_up_shortfall_output_tokens

    @property
    def shortfall_tokens(self) -> Ints:
        """Tokens of either kind beyond the capacity."""
        return self.shortfall_input_tokens + self.shortfall_output_tokens


def replay_intervals(
    targets: Sequence[Units],
    demand: Demand,
    deployment: Deployment,
    training: TrainingSettings,
    *,
    ahead: bool,
    floor: Units,
) -> IntervalPlan:
    """Apply floor, start-up, drain, the node budget and lending to the targets of every interval.

    ahead: whether targets were known before their interval began. floor: the least units of each role; targets
    below are raised. Raises RunError for a target beyond the fleet.
    """
    raised = [Units(max(target.prefill, floor.prefill), max(target.decode, floor.decode)) for target in targets]
    floored, targets = sum(held != target for held, target in zip(raised, targets, strict=True)), raised
    grid, fleet = demand.grid, deployment.settings
    timing = Timing(grid.interval_s, fleet.start_up_s, fleet.drain_deadline_s, ahead)
    lives = unit_lives(targets, deployment, timing)
    states = _node_seconds(lives, grid)
    held = steps_of(
        [(life.joined_s, life.nodes) for life in lives] + [(life.left_s, -life.nodes) for life in lives],
        0,
        grid.length_s,
    )
    windows = lend([(start, end, fleet.nodes - nodes) for start, end, nodes in held], training)
    restoring, useful, lent = _lent(windows, grid)
    starting, serving, draining = (
        states["prefill", state] + states["decode", state] for state in ("starting", "serving", "draining")
    )
    idle = fleet.nodes * grid.interval_s - starting - serving - draining - restoring - useful
    prefill_units = np.array([target.prefill for target in targets], np.int64)
    decode_units = np.array([target.decode for target in targets], np.int64)
    carried = (
        _tokens(prefill_units * fleet.prefill.nodes * grid.interval_s, fleet.prefill.node_tokens_per_s),
        _tokens(decode_units * fleet.decode.nodes * grid.interval_s, fleet.decode.node_tokens_per_s),
        _tokens(states["prefill", "serving"], fleet.prefill.node_tokens_per_s),
        _tokens(states["decode", "serving"], fleet.decode.node_tokens_per_s),
    )
    steady_input = np.maximum(demand.input_tokens - carried[0], 0)
    steady_output = np.maximum(demand.output_tokens - carried[1], 0)
    return IntervalPlan(
        grid=grid,
        prefill_units=prefill_units,
        decode_units=decode_units,
        inference_nodes=_most(held, grid),
        training_nodes=lent,
        serving_node_s=serving,
        starting_node_s=starting,
        draining_node_s=draining,
        training_node_s=useful,
        restoring_node_s=restoring,
        idle_node_s=idle,
        prefill_capacity_tokens=carried[0],
        decode_capacity_tokens=carried[1],
        prefill_serving_tokens=carried[2],
        decode_serving_tokens=carried[3],
        steady_shortfall_input_tokens=steady_input,
        steady_shortfall_output_tokens=steady_output,
        start_up_shortfall_input_tokens=np.maximum(demand.input_tokens - carried[2] - steady_input, 0),
        start_up_shortfall_output_tokens=np.maximum(demand.output_tokens - carried[3] - steady_output, 0),
        floored=floored,
        lives=tuple(lives),
        windows=tuple(windows),
    )


def _node_seconds(lives: Sequence[Life], grid: Grid) -> dict[tuple[str, str], Ints]:
    """Node-seconds per interval, by (role, state)."""
    states = {
        (role, state): np.zeros(grid.count, np.int64) for role in ROLES for state in ("starting", "serving", "draining")
    }
    for life in lives:
        _spread(states[life.role, "starting"], life.joined_s, life.ready_s, life.nodes, grid.interval_s)
        _spread(states[life.role, "serving"], life.ready_s, life.drain_s, life.nodes, grid.interval_s)
        _spread(states[life.role, "draining"], life.drain_s, life.left_s, life.nodes, grid.interval_s)
    return states


def _lent(windows: Sequence[LentWindow], grid: Grid) -> tuple[Ints, Ints, Ints]:
    """Node-seconds restoring and training per interval, and the nodes lent throughout it."""
    restoring, useful, lent = (np.zeros(grid.count, np.int64) for _ in range(3))
    for window in windows:
        _spread(restoring, window.start_s, window.useful_s, window.nodes, grid.interval_s)
        _spread(useful, window.useful_s, window.end_s, window.nodes, grid.interval_s)
        lent[-(-window.start_s // grid.interval_s) : window.end_s // grid.interval_s] += window.nodes
    return restoring, useful, lent


def _tokens(node_s: Ints, tokens_per_s: float) -> Ints:
    """Whole tokens that node-seconds carry."""
    whole: Ints = np.floor(node_s * tokens_per_s).astype(np.int64)
    return whole


def _spread(into: Ints, start_s: int, end_s: int, nodes: int, interval_s: int) -> None:
    """Add the node-seconds of [start_s, end_s) to the intervals they fall in."""
    if end_s <= start_s:
        return
    first, last = start_s // interval_s, (end_s - 1) // interval_s
    into[first : last + 1] += nodes * interval_s
    into[first] -= nodes * (start_s - first * interval_s)
    into[last] -= nodes * ((last + 1) * interval_s - end_s)


def _most(steps: Sequence[tuple[int, int, int]], grid: Grid) -> Ints:
    """The highest level of a step function in every interval."""
    most = np.zeros(grid.count, np.int64)
    for start_s, end_s, level in steps:
        part = slice(start_s // grid.interval_s, (end_s - 1) // grid.interval_s + 1)
        most[part] = np.maximum(most[part], level)
    return most
