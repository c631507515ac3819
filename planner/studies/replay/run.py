"""Replaying requests through a plan: plan, window, fleet and requests, both stages to the end."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from planner.capacity.bands import UnitBands, unit_bands
from planner.catalogue.scenarios import stored_scenario
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import EVERY_ROLE, Units
from planner.core.replay.requests.model import Requests, Span
from planner.core.replay.requests.split import PoolPart
from planner.core.replay.requests.window import ReplayWindow, window_of
from planner.errors import RunError, UsageError
from planner.planning.allowance import down_notes
from planner.planning.plan import plan
from planner.planning.prepare import prepare
from planner.planning.selection import reading, selection_notes, selection_of
from planner.runs.outcome import PlanOutcome
from planner.runs.read import RunView, load_run
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.replay.account import StageResults
from planner.studies.replay.bands import ReplayEnds, replay_ends
from planner.studies.replay.changed import changed_minutes, resampling_note
from planner.studies.replay.requests import (
    class_names,
    concatenate,
    count_rows,
    ensure_whole_trace,
)
from planner.studies.replay.rules import (
    MOST_KEPT,
    NO_SPARES,
    check_replayed,
    check_settings,
    failing_lives,
    planned_lives,
    queue_rules,
)
from planner.studies.replay.service import service_for
from planner.studies.replay.simulate import Simulation
from planner.studies.replay.stages import compile_kernels
from planner.trace.stored import TraceInfo, check_requests
from planner.units import Clock, Progress


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A finished replay, before it is stored.

    Attributes:
        outcome: The plan that was replayed.
        trace: The trace that was replayed, at full scale.
        results: Both stages after the end, the window and the units.
        simulated: Requests simulated: those of the window, of its warm-up and of its cool-down.
        wall_s: Seconds that the simulation took, reading of requests included.
        classes: Names of the classes of requests by number.
        requests: All requests that were simulated, where they are kept; times are microseconds from the origin.
        notes: What is taken of a stored trace, and how its requests are changed.
        unit_bands: 90 % bands of the times that units took.
        ends: The same replay at both ends of these; None unless asked for.
    """

    outcome: PlanOutcome
    trace: TraceInfo
    results: StageResults
    unit_bands: UnitBands
    simulated: int
    wall_s: float
    classes: Mapping[int, str]
    requests: Requests | None
    notes: tuple[str, ...] = ()
    ends: ReplayEnds | None = None


def replay(
    store: Store,
    scenario: Scenario,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    whole: bool = False,
    now: datetime,
    clock: Clock,
    keep: bool = False,
    bands: bool = False,
    spares: Units = NO_SPARES,
    progress: Progress | None = None,
    planned: RunView | None = None,
) -> Replayed:
    """Plan a scenario and replay every request of a time window through the plan.

    The requests of half an hour before the window (replay.warm_up_s) and of some time after it (replay.cool_down_s) are
    simulated too and not counted. Nothing is stored but a trace that has to be drawn; see `planner.store_replay`.

    Args:
        store: The store with the trace.
        scenario: The scenario, as `planner.load_scenario` gives it.
        start: Requests are counted from this time on. If neither it nor `end` is given: the plan's busiest hour; if
            only `end` is given: from the first moment that can be warmed up.
        end: Requests are counted up to this time. If only `start` is given: the end of the plan.
        whole: Whether to count the whole plan after its warm-up, instead of the busiest hour.
        now: The current time, with an offset; a drawn trace is stored with it.
        clock: Gives seconds, as `time.perf_counter` does, for the time that the simulation takes.
        keep: Whether the outcome of every request is kept, about 100 bytes each.
        bands: Whether units as fast, and as slow, as the 90 % bands of their times are replayed too, which takes
            three times as long.
        spares: Units of each role beyond the plan's, serving all the time.
        progress: Called with the number of requests done and the total.
        planned: A stored run of the scenario; the plan must be identical to it.

    Returns:
        The finished replay: its plan, its window, and tallies of both stages by minute, hour and class.

    Raises:
        UsageError: The scenario is invalid, the window is empty or not inside the plan, the trace is an imported sample
            or lacks what the balancers need, or more requests are to be kept than fit into memory.
        RunError: The plan differs from `planned`, or needs more nodes than the fleet has.
        TraceError: The trace is not in the store.
    """
    check_settings(scenario)
    outcome = plan_of(store, scenario, now=now, progress=progress, planned=planned is not None)
    if planned is not None:
        _check_same(planned, outcome)
    window = window_of(outcome.demand, outcome.scenario.replay, start, end, whole, outcome.scenario.zone)
    return replay_planned(
        store, outcome, window, now=now, clock=clock, keep=keep, bands=bands, spares=spares, progress=progress
    )


def replay_planned(
    store: Store,
    outcome: PlanOutcome,
    window: ReplayWindow,
    *,
    now: datetime,
    clock: Clock,
    keep: bool = False,
    bands: bool = False,
    spares: Units = NO_SPARES,
    part: PoolPart | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Replay the requests of a window through a plan. Other arguments and errors as for `replay`.

    part: the requests that are the plan's, where it is that of a pool of a mixed fleet.
    """
    scenario = outcome.scenario
    trace = _whole_trace(store, outcome, window, now=now, progress=progress)
    planned = {role: planned_lives(outcome, role, window, spares) for role in Deployment(scenario.fleet).role_names}
    with reading(store, scenario, trace) as session:
        classes, rows = class_names(session, trace), count_rows(session, trace, window)
        check_replayed(scenario, trace, sessions=rows.session_rows > 0, requests=rows.row_count)
        service = service_for(session, scenario, outcome.trace)
        rules = queue_rules(scenario.replay, trace, sessions=rows.session_rows > 0)
        demand = outcome.demand if part is None else part.demand
        changed = changed_minutes(session, scenario, demand, trace, window, rules)
        total = rows.row_count if changed is None else int(changed.targets.sum())
        simulation = Simulation(
            session=session,
            scenario=scenario,
            trace=trace,
            window=window,
            rules=rules,
            span=_span_of(scenario, window, len(classes)),
            lives={role: failing_lives(outcome, role, window, lives) for role, lives in planned.items()},
            planned=planned,
            changed=changed,
            total=total,
            part=part,
        )
        if part is not None:
            total = sum(map(len, simulation.requests()))
            simulation = replace(simulation, total=total)
        kept = _list_of(total) if keep else None
        compile_kernels(service, rules, closed=scenario.replay.sessions == "closed")
        begin = clock()
        results = simulation.run(service, progress, kept)
        wall_s = clock() - begin
        times = unit_bands(scenario.fleet)
        ends = replay_ends(simulation, service, times, progress) if bands else None
    more = () if changed is None else (resampling_note(changed, scenario.trace.seed),)
    return Replayed(
        outcome=replace(outcome, notes=(*outcome.notes, *more)),
        trace=trace,
        results=results,
        unit_bands=times,
        ends=ends,
        simulated=total,
        notes=(*selection_notes(scenario, trace), *down_notes(scenario), *more),
        wall_s=wall_s,
        classes=_taken(classes, scenario),
        requests=None if kept is None else concatenate(kept),
    )


def _whole_trace(
    store: Store, outcome: PlanOutcome, window: ReplayWindow, *, now: datetime, progress: Progress | None
) -> TraceInfo:
    """The trace with every request of the window, which may take minutes to draw: what a sample shows not to be in it
    is refused before. Raises UsageError."""
    scenario, trace = outcome.scenario, outcome.trace
    if trace.sample_weight > 1:
        with reading(store, scenario, trace) as session:
            rows = count_rows(session, trace, window)
        sessions = rows.session_rows > 0
        check_replayed(scenario, trace, sessions=sessions, requests=rows.row_count * trace.sample_weight)
        queue_rules(scenario.replay, trace, sessions=sessions)
    return ensure_whole_trace(store, scenario, trace, window, now=now, progress=progress)


def _taken(classes: Mapping[int, str], scenario: Scenario) -> dict[int, str]:
    """The classes of a trace that a scenario takes."""
    taken = selection_of(scenario).settings.classes
    return {number: name for number, name in classes.items() if taken is None or name in taken}


def _span_of(scenario: Scenario, window: ReplayWindow, classes: int) -> Span:
    """The period that is simulated and counted, with the scenario's targets. classes: number of named classes."""
    # kernels are compiled for whole numbers once more
    from_us, to_us, end_us = map(float, window.span_us)
    return Span(
        from_us=from_us,
        to_us=to_us,
        end_us=end_us,
        classes=max(1, classes),
        ttft_us=scenario.slo.ttft_ms * 1e3,
        tpot_us=scenario.slo.tpot_ms * 1e3,
    )


def _list_of(total: int) -> list[Requests]:
    """An empty list for requests, where the outcomes of all of them fit into memory. Raises UsageError."""
    if total > MOST_KEPT:
        raise UsageError(
            f"the window simulates {total:,} requests, and the outcomes of at most {MOST_KEPT:,} can be kept; "
            "count a shorter window"
        )
    return []


def plan_of(
    store: Store, scenario: Scenario, *, now: datetime, progress: Progress | None = None, planned: bool = False
) -> PlanOutcome:
    """The plan of a scenario, not stored. Raises UsageError, TraceError for a trace without requests.

    planned: whether it is that of a stored run, with the capacities that were planned with.
    """
    prepared = prepare(store, scenario, now=now, progress=progress, replayed=True, planned=planned)
    check_requests(prepared.trace)
    return plan(prepared)


def is_run(name: str) -> bool:
    """Whether a name is that of a run, stored or not."""
    return re.fullmatch(r"run-\d+", name) is not None


def planned_scenario(store: Store, run_id: str, overrides: Sequence[str]) -> tuple[Scenario, RunView]:
    """A stored run and its scenario, with replay settings overridden. Raises RunError, UsageError."""
    planned = load_run(store, run_id)
    for override in overrides:
        if override.startswith("failures.nodes_down_ratio"):
            raise UsageError(
                f"{run_id} is replayed as it was planned, and failures.nodes_down_ratio is of plans; set "
                "failures.per_node_per_day for failures in the replay, or replay its scenario"
            )
        if not override.startswith(("replay.", "failures.")):
            raise UsageError(
                f"{run_id} is replayed as it was planned, so --set {override.partition('=')[0]} cannot change it; "
                "set replay.* and failures.* fields only, or replay its scenario"
            )
    return stored_scenario(planned.record.settings, overrides), planned


def _check_same(planned: RunView, outcome: PlanOutcome) -> None:
    """Raises RunError if the plan differs from the stored one."""
    columns = (*(f"{role}_units" for role in EVERY_ROLE), "inference_nodes")
    if not all(planned.intervals[name].to_list() == getattr(outcome.plan, name).tolist() for name in columns):
        tokens = ("input_tokens", "output_tokens")
        if any(planned.intervals[name].to_list() != getattr(outcome.demand, name).tolist() for name in tokens):
            raise RunError(
                f"{planned.record.run_id} was planned for other demand than that of its scenario: a forecast,"
                " or the part of a pool; replay its scenario, or the mixed fleet with `planner mixed replay`"
            )
        raise RunError(
            f"{planned.record.run_id} was planned by planner {planned.record.planner_version}, and this version "
            "makes a different plan of its scenario; plan the scenario again"
        )
