"""Interval replay: targets become a timeline of nodes by state, with capacity and shortfall. Pure.

Every node-second of the fleet is serving, starting, draining, training, restoring or idle, and is counted once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import EVERY_ROLE, Units
from planner.core.replay.intervals.carried import carried_by_service, carried_by_targets, spread
from planner.core.replay.intervals.lending import LentWindow, lend, steps_of
from planner.core.replay.intervals.lifetimes import Keeps, Life, Timing, check_fits, unit_lives
from planner.core.replay.intervals.packing import (
    NODE_STATES,
    NodeSpan,
    node_spans,
    own_nodes,
    packed_lives,
    resting,
)
from planner.core.replay.intervals.waking import SleepState, awake
from planner.settings.training import TrainingSettings
from planner.units import Ints


@dataclass(frozen=True, kw_only=True)
class IntervalPlan:
    """The planned fleet, arrays (grid.count,), named as the columns of the table plan_interval.

    floored: intervals whose target was raised to the floor. sleep_states: of every interval (`waking`); None where the
    service never sleeps. lives and windows hold the same plan by unit and by lent node.
    """

    grid: Grid
    prefill_units: Ints
    decode_units: Ints
    aggregated_units: Ints
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
    sleep_states: list[SleepState] | None
    lives: tuple[Life, ...]
    windows: tuple[LentWindow, ...]

    @property
    def units(self) -> list[Units]:
        """Units that serve, start or drain in every interval: its target, raised to the floor."""
        columns = (self.prefill_units, self.decode_units, self.aggregated_units)
        return [Units(*held) for held in zip(*(column.tolist() for column in columns), strict=True)]

    def started_units(self, *, warm: bool) -> Ints:
        """Units of all roles that begin to start up in every interval, from cold or to weights that they had kept."""
        started = np.zeros(self.grid.count, np.int64)
        for life in self.lives:
            if life.joined_s > 0 and life.warm == warm:
                started[life.joined_s // self.grid.interval_s] += life.units
        return started

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
    """Apply floor, waking, start-up, drain, the node budget and lending to the targets of every interval.

    ahead: whether targets were known before their interval began. floor: the least units of each role; targets
    below are raised. Raises RunError for a target beyond the fleet.
    """
    raised = [target.at_least(floor) for target in targets]
    floored = sum(held != target for held, target in zip(raised, targets, strict=True))
    wakes = awake(raised, demand, deployment)
    targets = wakes.targets
    grid, fleet = demand.grid, deployment.settings
    timing = Timing(grid.interval_s, fleet.start_up_s, fleet.drain_deadline_s, ahead)
    lives, spans = _lives(targets, deployment, timing)
    starting, serving, draining = (_node_seconds(spans, state, grid) for state in NODE_STATES)
    held = _levels([span for span in spans if span.state in NODE_STATES], grid)
    windows = lend(_lendable(spans, grid, fleet.nodes), training)
    restoring, useful, lent = _lent(windows, grid)
    idle = fleet.nodes * grid.interval_s - starting - serving - draining - restoring - useful
    held_units = {f"{role}_units": np.array([target.of(role) for target in targets], np.int64) for role in EVERY_ROLE}
    able = carried_by_targets(targets, deployment, demand)
    serves = carried_by_service(lives, deployment, demand)
    steady_input = np.maximum(demand.input_tokens - able.input_tokens, 0)
    steady_output = np.maximum(demand.output_tokens - able.output_tokens, 0)
    return IntervalPlan(
        grid=grid,
        **held_units,
        inference_nodes=_most(held, grid),
        training_nodes=lent,
        serving_node_s=serving,
        starting_node_s=starting,
        draining_node_s=draining,
        training_node_s=useful,
        restoring_node_s=restoring,
        idle_node_s=idle,
        prefill_capacity_tokens=able.input_tokens,
        decode_capacity_tokens=able.output_tokens,
        prefill_serving_tokens=serves.input_tokens,
        decode_serving_tokens=serves.output_tokens,
        steady_shortfall_input_tokens=steady_input,
        steady_shortfall_output_tokens=steady_output,
        start_up_shortfall_input_tokens=np.maximum(demand.input_tokens - serves.input_tokens - steady_input, 0),
        start_up_shortfall_output_tokens=np.maximum(demand.output_tokens - serves.output_tokens - steady_output, 0),
        floored=floored,
        sleep_states=wakes.states,
        lives=tuple(lives),
        windows=tuple(windows),
    )


def _lives(targets: Sequence[Units], deployment: Deployment, timing: Timing) -> tuple[list[Life], list[NodeSpan]]:
    """The lives of units, and what the nodes do that they are on. Raises RunError for a target beyond the fleet."""
    check_fits(targets, deployment)
    if deployment.aggregated:
        counts, keeps = [target.aggregated for target in targets], Keeps.of(deployment.settings)
        lives = packed_lives(counts, timing, deployment.most, keeps)
        rests = resting(lives, len(targets) * timing.interval_s) if keeps and keeps.resident else []
        return lives, node_spans([*lives, *rests], deployment.units_per_node, deployment.settings.unit_nodes)
    held = unit_lives(targets, deployment, timing)
    return held.lives, [span for life in (*held.lives, *held.resting) for span in own_nodes(life, life.nodes)]


def _levels(spans: Sequence[NodeSpan], grid: Grid) -> list[tuple[int, int, int]]:
    """Nodes that do something of this over the plan, as a step function."""
    changes = [(span.start_s, span.nodes) for span in spans] + [(span.end_s, -span.nodes) for span in spans]
    return steps_of(changes, 0, grid.length_s)


def _lendable(spans: Sequence[NodeSpan], grid: Grid, nodes: int) -> list[tuple[int, int, int]]:
    """Nodes that neither hold units nor keep the weights of such, as a step function."""
    return [(start_s, end_s, max(nodes - taken, 0)) for start_s, end_s, taken in _levels(spans, grid)]


def _node_seconds(spans: Sequence[NodeSpan], state: str, grid: Grid) -> Ints:
    """Node-seconds in a state per interval."""
    seconds = np.zeros(grid.count, np.int64)
    for span in spans:
        if span.state == state:
            spread(seconds, span.start_s, span.end_s, span.nodes, grid.interval_s)
    return seconds


def _lent(windows: Sequence[LentWindow], grid: Grid) -> tuple[Ints, Ints, Ints]:
    """Node-seconds restoring and training per interval, and the nodes lent throughout it."""
    restoring, useful, lent = (np.zeros(grid.count, np.int64) for _ in range(3))
    for window in windows:
        spread(restoring, window.start_s, window.useful_s, window.nodes, grid.interval_s)
        spread(useful, window.useful_s, window.end_s, window.nodes, grid.interval_s)
        lent[-(-window.start_s // grid.interval_s) : window.end_s // grid.interval_s] += window.nodes
    return restoring, useful, lent


def _most(steps: Sequence[tuple[int, int, int]], grid: Grid) -> Ints:
    """The highest level of a step function in every interval."""
    most = np.zeros(grid.count, np.int64)
    for start_s, end_s, level in steps:
        part = slice(start_s // grid.interval_s, (end_s - 1) // grid.interval_s + 1)
        most[part] = np.maximum(most[part], level)
    return most
