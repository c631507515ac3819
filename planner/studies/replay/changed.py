"""Replays of stored requests whose demand the scenario changes: which of them are repeated or left out."""

import numpy as np

from planner.core.demand import Demand
from planner.core.replay.requests.model import QueueRules
from planner.core.replay.requests.resample import MinuteTargets, minute_targets
from planner.core.replay.requests.window import ReplayWindow
from planner.errors import UsageError
from planner.planning.selection import selection_of
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.studies.replay.requests import needs_blocks
from planner.trace.stored import TraceInfo
from planner.units import S_PER_MINUTE, US_PER_MINUTE


def changed_minutes(
    session: Session,
    scenario: Scenario,
    demand: Demand,
    trace: TraceInfo,
    window: ReplayWindow,
    rules: QueueRules,
) -> MinuteTargets | None:
    """How many requests every minute of a window has and is to have; None where the demand is as it is stored.

    demand: of all requests, as it is changed. Raises UsageError for rules by which the same requests would find more or
    less in the prefix cache.
    """
    grid = demand.grid
    if not selection_of(scenario).change.active:
        return None
    if needs_blocks(rules, trace) or rules.prefill_balancer == "prefix-aware":
        raise UsageError(
            f"the demand of trace {trace.name} is changed, and requests that are repeated or left out would find more "
            "or less of their prefix in a cache; set replay.hits=trace and another replay.prefill_balancer than "
            "prefix-aware, or leave the trace as it is"
        )
    first = (window.origin_us - grid.start_us) // grid.interval_us
    last = -((grid.start_us - window.end_us) // grid.interval_us)
    start_us, count = grid.start_us + first * grid.interval_us, last - first
    bins = session.frame(
        "demand_bins",
        trace_id=trace.trace_id,
        start_us=start_us,
        end_us=start_us + count * grid.interval_us,
        interval_us=US_PER_MINUTE,
    )
    rows = np.zeros(count * grid.interval_s // S_PER_MINUTE, np.int64)
    rows[bins["interval_index"].to_numpy()] = bins["row_count"].to_numpy()
    wanted = demand.requests[first:last]
    return minute_targets(start_us, rows, wanted).between(window.origin_us, window.end_us)


def resampling_note(minutes: MinuteTargets, seed: int) -> str:
    """What a replay does to the stored requests."""
    stored, replayed = int(minutes.rows.sum()), int(minutes.targets.sum())
    return (
        f"the demand is changed, so that of {stored:,} stored requests in the simulated time {replayed:,} are made: "
        f"some are repeated or left out at random (trace.seed {seed}), minute by minute, copies at any moment of their "
        "minute"
    )
